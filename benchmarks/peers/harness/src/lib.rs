//! What the peers' programs share: the memory that a program sees, its maps, and the conversation with the benchmark.
//!
//! A peer is called as `PEER ENGINE BYTECODE PACKET`. For each line of standard input that holds a number n it runs the
//! program n times and prints `R0 NS`; for the line `packet` it prints the packet in hexadecimal. Its first line of
//! output is the time, in ns, that loading and compiling took.

pub mod clock;
pub mod maps;

use std::io::{self, BufRead, Write};

use clock::Clock;

/// Data and data_end, as 64-bit pointers, and the packet behind them: one region, so that an engine that checks
/// bounds finds both at once.
pub struct Memory {
    bytes: Vec<u8>,
}

const CONTEXT: usize = 16;

impl Memory {
    pub fn new(packet: &[u8]) -> Memory {
        let mut bytes = vec![0; CONTEXT + packet.len()];
        bytes[CONTEXT..].copy_from_slice(packet);
        let data = bytes.as_ptr() as u64 + CONTEXT as u64;
        bytes[..8].copy_from_slice(&data.to_ne_bytes());
        bytes[8..CONTEXT].copy_from_slice(&(data + packet.len() as u64).to_ne_bytes());
        Memory { bytes }
    }

    /// The context and the packet. It must not move: its first bytes say where it is.
    pub fn all(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn packet(&self) -> String {
        self.bytes[CONTEXT..]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// What the command line names.
pub struct Arguments {
    pub engine: String,
    pub bytecode: Vec<u8>,
    pub packet: Vec<u8>,
}

pub fn arguments() -> Arguments {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [engine, bytecode, packet] = &given[..] else {
        eprintln!("usage: PEER ENGINE BYTECODE PACKET");
        std::process::exit(2);
    };
    Arguments {
        engine: engine.clone(),
        bytecode: read(bytecode),
        packet: read(packet),
    }
}

fn read(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| fail(&format!("{path}: {error}")))
}

/// Say what is wrong and end.
pub fn fail(what: &str) -> ! {
    eprintln!("{what}");
    std::process::exit(1);
}

/// Answer the benchmark until it closes standard input. `run` runs the program once over the memory.
pub fn serve(memory: &mut Memory, started: Clock, mut run: impl FnMut(&mut [u8]) -> u64) {
    println!("{}", started.elapsed_ns());
    let mut output = io::stdout();
    output.flush().expect("standard output is open");
    for line in io::stdin().lock().lines() {
        let line = line.expect("standard input is text");
        if line == "packet" {
            println!("{}", memory.packet());
        } else {
            let repeat = line
                .parse()
                .unwrap_or_else(|_| fail(&format!("no number: {line}")));
            let (result, elapsed) = timed(memory, repeat, &mut run);
            println!("{result} {elapsed}");
        }
        output.flush().expect("standard output is open");
    }
}

fn timed(memory: &mut Memory, repeat: u64, run: &mut impl FnMut(&mut [u8]) -> u64) -> (u64, u64) {
    let start = Clock::start();
    let mut result = 0;
    for _ in 0..repeat {
        result = run(memory.all());
    }
    (result, start.elapsed_ns())
}
