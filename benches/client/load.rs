//! Load over HTTP/1.1 for `npm run bench`: one blocking thread and one connection each, one request at a time on it, every
//! latency kept as it was. Plain std, compiled by `rustc -O`: it takes a few microseconds of a core per request, which it reports.
//!
//! `load key=value …`: address, requests (a file of frames: length as u32 little-endian, then the bytes of one request), body (a
//! file that is sent after each), connections, warmup and measure in milliseconds, expect (a status), order=`shared` (whoever is
//! free takes the next) or `affine` (connection c takes c, c + connections, …), wrap=`yes` (begin again at the end), pid (whose
//! processor time is read at both ends of the measured window). Prints one line of JSON.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

/// What Linux's `/proc` counts processor time in, on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

struct Plan {
    address: String,
    requests: Vec<&'static [u8]>,
    body: Option<Vec<u8>>,
    connections: usize,
    warmup: Duration,
    measure: Duration,
    expect: u16,
    affine: bool,
    wrap: bool,
    pid: String,
}

/// What the threads share.
#[derive(Default)]
struct Shared {
    next: AtomicUsize,
    received: AtomicU64,
    /// A connection found no request left.
    exhausted: AtomicBool,
    stop: AtomicBool,
}

/// One answered request.
struct Sample {
    ended: Instant,
    latency: Duration,
    bytes: u64,
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

struct Head {
    status: u16,
    length: Option<usize>,
    chunked: bool,
    close: bool,
    /// Where the body begins in the buffer.
    end: usize,
}

fn main() {
    let plan = Plan::read();
    let shared = Shared::default();
    let begun = Instant::now();
    let own = cpu("self");
    let (samples, window) = thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.connections)
            .map(|index| {
                let (plan, shared) = (&plan, &shared);
                thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, move || drive(plan, shared, index)).unwrap()
            })
            .collect();
        thread::sleep(plan.warmup);
        let from = (Instant::now(), cpu(&plan.pid), shared.received.load(Relaxed));
        while from.0.elapsed() < plan.measure && !shared.exhausted.load(Relaxed) {
            thread::sleep(Duration::from_millis(1).min(plan.measure.saturating_sub(from.0.elapsed())));
        }
        let to = (Instant::now(), cpu(&plan.pid), shared.received.load(Relaxed));
        shared.stop.store(true, Relaxed);
        let samples: Vec<Sample> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        (samples, (from, to))
    });
    let ((from, cpu_from, bytes_from), (to, cpu_to, bytes_to)) = window;
    let mut latencies: Vec<u64> = samples
        .iter()
        .filter(|sample| sample.ended > from && sample.ended <= to)
        .map(|sample| u64::try_from(sample.latency.as_nanos()).unwrap())
        .collect();
    latencies.sort_unstable();
    let at = |share: f64| latencies.get(((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1))).copied();
    let micros = |share: f64| at(share).map_or("null".into(), |nanos| format!("{:.1}", nanos as f64 / 1000.0));
    let answered: u64 = samples.iter().map(|sample| sample.bytes).sum();
    println!(
        "{{\"seconds\":{:.6},\"requests\":{},\"total\":{},\"p50\":{},\"p90\":{},\"p99\":{},\"max\":{},\"cpuSeconds\":{:.2},\"bytes\":{},\"bytesPerAnswer\":{:.1},\"clientCpuSeconds\":{:.2},\"clientSeconds\":{:.3},\"exhausted\":{}}}",
        (to - from).as_secs_f64(),
        latencies.len(),
        samples.len(),
        micros(0.5),
        micros(0.9),
        micros(0.99),
        micros(1.0),
        cpu_to - cpu_from,
        bytes_to - bytes_from,
        answered as f64 / samples.len().max(1) as f64,
        cpu("self") - own,
        begun.elapsed().as_secs_f64(),
        shared.exhausted.load(Relaxed),
    );
}

impl Plan {
    fn read() -> Self {
        let given: HashMap<String, String> =
            env::args().skip(1).map(|arg| arg.split_once('=').map(|(k, v)| (k.into(), v.into())).expect("key=value")).collect();
        let need = |key: &str| given.get(key).unwrap_or_else(|| panic!("{key}= is missing")).clone();
        let number = |key: &str| need(key).parse::<u64>().unwrap_or_else(|_| panic!("{key}= is a number"));
        let is = |key: &str, value: &str| given.get(key).is_some_and(|given| given == value);
        Self {
            address: need("address"),
            requests: frames(fs::read(need("requests")).expect("requests= can be read").leak()),
            body: given.get("body").map(|path| fs::read(path).expect("body= can be read")),
            connections: number("connections") as usize,
            warmup: Duration::from_millis(number("warmup")),
            measure: Duration::from_millis(number("measure")),
            expect: number("expect") as u16,
            affine: is("order", "affine"),
            wrap: is("wrap", "yes"),
            pid: need("pid"),
        }
    }

    /// The request that connection `index` sends as its `turn`-th.
    fn take(&self, shared: &Shared, index: usize, turn: usize) -> Option<&'static [u8]> {
        let position = if self.affine { index + turn * self.connections } else { shared.next.fetch_add(1, Relaxed) };
        let position = if self.wrap { position % self.requests.len() } else { position };
        self.requests.get(position).copied()
    }
}

fn frames(mut bytes: &'static [u8]) -> Vec<&'static [u8]> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (frame, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        frames.push(frame);
        bytes = rest;
    }
    assert!(!frames.is_empty(), "requests= holds none");
    frames
}

/// Sends one request after the other until told to stop.
fn drive(plan: &Plan, shared: &Shared, index: usize) -> Vec<Sample> {
    let mut samples = Vec::with_capacity(1 << 16);
    let mut connection = Connection::open(&plan.address);
    for turn in 0.. {
        if shared.stop.load(Relaxed) {
            break;
        }
        let Some(request) = plan.take(shared, index, turn) else {
            shared.exhausted.store(true, Relaxed);
            break;
        };
        let begun = Instant::now();
        connection.stream.write_all(request).unwrap_or_else(|error| fail(&format!("sending: {error}")));
        if let Some(body) = &plan.body {
            connection.stream.write_all(body).unwrap_or_else(|error| fail(&format!("sending: {error}")));
        }
        let head = connection.head();
        let bytes = connection.body(&head, request.starts_with(b"HEAD "), shared, plan.expect);
        let ended = Instant::now();
        samples.push(Sample { ended, latency: ended - begun, bytes });
        if head.close {
            connection = Connection::open(&plan.address);
        }
    }
    samples
}

impl Connection {
    fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| fail(&format!("connecting: {error}")));
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { stream, buffer: vec![0; 128 * 1024], filled: 0 }
    }

    /// Reads more behind what is in the buffer.
    fn fill(&mut self) {
        if self.filled == self.buffer.len() {
            fail("a head or a chunk's size is longer than the buffer");
        }
        match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => fail("the server hung up in the middle"),
            Ok(count) => self.filled += count,
            Err(error) => fail(&format!("receiving: {error}")),
        }
    }

    fn consume(&mut self, count: usize) {
        self.buffer.copy_within(count..self.filled, 0);
        self.filled -= count;
    }

    fn head(&mut self) -> Head {
        let mut seen = 0;
        let end = loop {
            let found = self.buffer[seen..self.filled].windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(at) = found {
                break seen + at + 4;
            }
            seen = self.filled.saturating_sub(3);
            self.fill();
        };
        let text = std::str::from_utf8(&self.buffer[..end]).unwrap_or_else(|_| fail("a head that is no text"));
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.get(9..12)).and_then(|code| code.parse().ok());
        let mut head = Head { status: status.unwrap_or(0), length: None, chunked: false, close: false, end };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.length = value.parse().ok();
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.chunked = value.eq_ignore_ascii_case("chunked");
            } else if name.eq_ignore_ascii_case("connection") {
                head.close = value.eq_ignore_ascii_case("close");
            }
        }
        head
    }

    /// Reads the body to its end and returns its length with the head's.
    fn body(&mut self, head: &Head, is_head: bool, shared: &Shared, expect: u16) -> u64 {
        if head.status != expect {
            let shown = String::from_utf8_lossy(&self.buffer[..self.filled.min(4096)]).into_owned();
            fail(&format!("status {} where {expect} was expected:\n{shown}", head.status));
        }
        self.consume(head.end);
        let mut received = head.end;
        shared.received.fetch_add(head.end as u64, Relaxed);
        if is_head || matches!(head.status, 204 | 304) {
            return received as u64;
        }
        if !head.chunked {
            let length = head.length.unwrap_or_else(|| fail("a body of unknown length"));
            self.skip(length, shared);
            return (received + length) as u64;
        }
        loop {
            let line = loop {
                if let Some(at) = self.buffer[..self.filled].windows(2).position(|two| two == b"\r\n") {
                    break at;
                }
                self.fill();
            };
            let size = std::str::from_utf8(&self.buffer[..line]).ok().and_then(|hex| usize::from_str_radix(hex.trim(), 16).ok());
            let size = size.unwrap_or_else(|| fail("a chunk without a size"));
            self.consume(line + 2);
            self.skip(size + 2, shared);
            received += line + 2 + size + 2;
            if size == 0 {
                return received as u64;
            }
        }
    }

    fn skip(&mut self, mut count: usize, shared: &Shared) {
        shared.received.fetch_add(count as u64, Relaxed);
        loop {
            let now = count.min(self.filled);
            self.consume(now);
            count -= now;
            if count == 0 {
                return;
            }
            self.fill();
        }
    }
}

/// Seconds of processor time, user's and system's, that a process has taken.
fn cpu(pid: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_else(|error| fail(&format!("process {pid}: {error}")));
    // "pid (name) state ppid …": the name may hold anything, so fields are counted from its end.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

/// A wrong answer ends everything: numbers of requests that fail are worth nothing.
fn fail(reason: &str) -> ! {
    eprintln!("{reason}");
    process::exit(1)
}
