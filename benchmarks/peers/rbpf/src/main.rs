//! rbpf, a user-space eBPF machine in Rust: its interpreter, which checks every access, its JIT, which does not, and its
//! compiler through Cranelift (with the feature "cranelift"), which does.

use harness::{arguments, clock::Clock, fail, maps, serve, Memory};

const LOOK_UP: u32 = 1;

fn main() {
    let arguments = arguments();
    let mut memory = Memory::new(&arguments.packet);
    let started = Clock::start();
    let mut machine = rbpf::EbpfVmRaw::new(Some(&arguments.bytecode))
        .unwrap_or_else(|error| fail(&error.to_string()));
    machine
        .register_helper(LOOK_UP, maps::look_up)
        .unwrap_or_else(|error| fail(&error.to_string()));
    let (start, size) = maps::values();
    machine.register_allowed_memory(start..start + size);
    match &arguments.engine[..] {
        "interpreter" => serve(&mut memory, started, |memory| {
            machine
                .execute_program(endless(memory))
                .unwrap_or_else(|error| fail(&error.to_string()))
        }),
        "jit" => {
            machine
                .jit_compile()
                .unwrap_or_else(|error| fail(&error.to_string()));
            // The JIT trusts its program: so do we, whose program is ours.
            serve(&mut memory, started, |memory| unsafe {
                machine
                    .execute_program_jit(endless(memory))
                    .unwrap_or_else(|error| fail(&error.to_string()))
            });
        }
        #[cfg(feature = "cranelift")]
        "cranelift" => {
            machine
                .cranelift_compile()
                .unwrap_or_else(|error| fail(&error.to_string()));
            serve(&mut memory, started, |memory| {
                machine
                    .execute_program_cranelift(endless(memory))
                    .unwrap_or_else(|error| fail(&error.to_string()))
            });
        }
        other => fail(&format!("rbpf has no engine {other}")),
    }
}

/// rbpf wants memory that lives as long as its machine; `memory` of main does.
fn endless(memory: &mut [u8]) -> &'static mut [u8] {
    unsafe { std::slice::from_raw_parts_mut(memory.as_mut_ptr(), memory.len()) }
}
