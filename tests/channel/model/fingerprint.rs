//! Hashes a ledger by what it stores. Points in time count by their distance from now, and what never changes is left out, so
//! that two states which go on alike are one.

use mpp_edge::channel::Channel;
use mpp_edge::time::Timestamp;
use serde::ser::{
    Impossible, Serialize, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct, Serializer,
};
use std::fmt::{self, Display};
use std::hash::Hasher;

/// Fields that are points in time.
const TIMES: [&str; 7] = ["until", "matures", "heardAt", "retryAt", "unsettledSince", "lastUsed", "wakeAt"];

/// Fields that are the same in all states, or follow from others.
const CONSTANTS: [&str; 6] = ["escrow", "payer", "signer", "signature", "channelId", "channel_id"];

/// Feeds the hasher.
pub(super) fn of<H: Hasher>(channel: &Channel, now: Timestamp, hasher: &mut H) {
    let mut print = Print { hasher, now: now.millis(), is_time: false };
    channel.serialize(&mut print).unwrap();
}

struct Print<'a, H> {
    hasher: &'a mut H,
    now: u64,
    is_time: bool,
}

#[derive(Debug)]
struct Unsupported;

impl Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ledger stores something new")
    }
}

impl std::error::Error for Unsupported {}

impl serde::ser::Error for Unsupported {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

type Printed = Result<(), Unsupported>;

impl<H: Hasher> Print<'_, H> {
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Printed {
        if CONSTANTS.contains(&name) {
            return Ok(());
        }
        self.is_time = TIMES.contains(&name);
        let printed = value.serialize(&mut *self);
        self.is_time = false;
        self.hasher.write_u8(0xff);
        printed
    }
}

impl<H: Hasher> Serializer for &mut Print<'_, H> {
    type Ok = ();
    type Error = Unsupported;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Impossible<(), Unsupported>;
    type SerializeMap = Impossible<(), Unsupported>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Printed {
        self.hasher.write_u8(value.into());
        Ok(())
    }

    fn serialize_i8(self, _: i8) -> Printed {
        Err(Unsupported)
    }

    fn serialize_i16(self, _: i16) -> Printed {
        Err(Unsupported)
    }

    fn serialize_i32(self, _: i32) -> Printed {
        Err(Unsupported)
    }

    fn serialize_i64(self, _: i64) -> Printed {
        Err(Unsupported)
    }

    fn serialize_u8(self, value: u8) -> Printed {
        self.hasher.write_u8(value);
        Ok(())
    }

    fn serialize_u16(self, value: u16) -> Printed {
        self.hasher.write_u16(value);
        Ok(())
    }

    fn serialize_u32(self, value: u32) -> Printed {
        self.hasher.write_u32(value);
        Ok(())
    }

    fn serialize_u64(self, value: u64) -> Printed {
        self.hasher.write_u64(if self.is_time { value.wrapping_sub(self.now) } else { value });
        Ok(())
    }

    fn serialize_f32(self, _: f32) -> Printed {
        Err(Unsupported)
    }

    fn serialize_f64(self, _: f64) -> Printed {
        Err(Unsupported)
    }

    fn serialize_char(self, _: char) -> Printed {
        Err(Unsupported)
    }

    fn serialize_str(self, value: &str) -> Printed {
        self.hasher.write(value.as_bytes());
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Printed {
        self.hasher.write_u128(value);
        Ok(())
    }

    fn collect_str<T: Display + ?Sized>(self, _: &T) -> Printed {
        Err(Unsupported)
    }

    fn serialize_bytes(self, value: &[u8]) -> Printed {
        self.hasher.write(value);
        Ok(())
    }

    fn serialize_none(self) -> Printed {
        self.hasher.write_u8(0);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Printed {
        self.hasher.write_u8(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Printed {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Printed {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Printed {
        self.hasher.write_u32(index);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Printed {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(self, _: &'static str, index: u32, _: &'static str, value: &T) -> Printed {
        self.hasher.write_u32(index);
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self, Unsupported> {
        self.hasher.write_usize(length.ok_or(Unsupported)?);
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unsupported> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unsupported> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unsupported> {
        Err(Unsupported)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unsupported> {
        Err(Unsupported)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unsupported> {
        Ok(self)
    }

    fn serialize_struct_variant(self, _: &'static str, index: u32, _: &'static str, _: usize) -> Result<Self, Unsupported> {
        self.hasher.write_u32(index);
        Ok(self)
    }
}

impl<H: Hasher> SerializeSeq for &mut Print<'_, H> {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Printed {
        value.serialize(&mut **self)?;
        self.hasher.write_u8(0xfe);
        Ok(())
    }

    fn end(self) -> Printed {
        Ok(())
    }
}

impl<H: Hasher> SerializeTuple for &mut Print<'_, H> {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Printed {
        value.serialize(&mut **self)
    }

    fn end(self) -> Printed {
        Ok(())
    }
}

impl<H: Hasher> SerializeTupleStruct for &mut Print<'_, H> {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Printed {
        value.serialize(&mut **self)
    }

    fn end(self) -> Printed {
        Ok(())
    }
}

impl<H: Hasher> SerializeStruct for &mut Print<'_, H> {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Printed {
        self.field(name, value)
    }

    fn end(self) -> Printed {
        Ok(())
    }
}

impl<H: Hasher> SerializeStructVariant for &mut Print<'_, H> {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Printed {
        self.field(name, value)
    }

    fn end(self) -> Printed {
        Ok(())
    }
}
