//! Multicall3, a contract that makes several calls in one transaction. It stands at the same address on most networks.

use super::transaction::Call;
use super::{Address, ChainId};
use alloc::vec::Vec;
use alloy_primitives::address;
use alloy_sol_types::{SolCall, sol};

sol! {
    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }

    function aggregate3(Call3[] calls);
}

/// Where it stands on nearly all networks.
pub const MULTICALL3: Address = address!("cA11bde05977b3631167028862bE2a173976CA11");

/// Where it stands on a network: elsewhere on Abstract's, whose virtual machine is ZKsync's.
pub const fn multicall3_on(chain_id: ChainId) -> Address {
    match chain_id {
        2741 => address!("Aa4De41dba0Ca5dCBb288b7cC6b708F3aaC759E7"),
        11124 => address!("F9cda624FBC7e059355ce98a31693d299FACd963"),
        _ => MULTICALL3,
    }
}

/// The call of `multicall` that makes all of these, each whatever becomes of the others.
pub fn all_of(multicall: Address, calls: impl IntoIterator<Item = Call>) -> Call {
    let calls = calls.into_iter().map(|Call { to, data }| Call3 { target: to, allowFailure: true, callData: data }).collect();
    let data: Vec<u8> = aggregate3Call { calls }.abi_encode();
    Call { to: multicall, data: data.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn calls_are_made_one_after_the_other_and_may_fail() {
        let call = |byte: u8| Call { to: Address::repeat_byte(byte), data: vec![byte; 5].into() };
        let Call { to, data } = all_of(MULTICALL3, [call(1), call(2)]);
        assert_eq!(to, MULTICALL3);
        // `cast sig "aggregate3((address,bool,bytes)[])"`
        assert_eq!(data[..4], [0x82, 0xad, 0x56, 0xcb]);
        let aggregate3Call { calls } = aggregate3Call::abi_decode(&data).unwrap();
        let read: Vec<_> = calls.into_iter().map(|call| (call.allowFailure, call.target, call.callData)).collect();
        assert_eq!(read, [call(1), call(2)].map(|call| (true, call.to, call.data)));
    }
}
