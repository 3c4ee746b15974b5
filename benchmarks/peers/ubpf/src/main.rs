//! uBPF, a user-space eBPF machine in C (vendored by the crate libubpf-sys): its interpreter, which checks every access,
//! and its JIT, which does not.

use std::ffi::{c_char, c_void, CStr};
use std::ptr;

use harness::{arguments, clock::Clock, fail, maps, serve, Memory};
use libubpf_sys as ubpf;

const LOOK_UP: u32 = 1;

extern "C" fn look_up(map_type: u64, key: u64, a: u64, b: u64, c: u64) -> u64 {
    maps::look_up(map_type, key, a, b, c)
}

/// uBPF asks where an access is neither to the program's memory nor to its stack.
unsafe extern "C" fn is_value(values: *mut c_void, address: u64, size: u64) -> bool {
    let (start, length) = *values.cast::<(u64, u64)>();
    address >= start && address + size <= start + length
}

fn check(status: i32, message: *mut c_char) {
    if status != 0 {
        fail(&text(message));
    }
}

fn text(message: *mut c_char) -> String {
    if message.is_null() {
        return "uBPF refuses".to_string();
    }
    unsafe { CStr::from_ptr(message) }
        .to_string_lossy()
        .into_owned()
}

fn main() {
    let arguments = arguments();
    let mut memory = Memory::new(&arguments.packet);
    let mut values = maps::values();
    let mut message: *mut c_char = ptr::null_mut();
    let started = Clock::start();
    unsafe {
        let machine = ubpf::ubpf_create();
        let helper = ubpf::as_external_function_t(look_up as *mut c_void);
        check(
            ubpf::ubpf_register(machine, LOOK_UP, c"look_up".as_ptr(), helper),
            message,
        );
        check(
            ubpf::ubpf_register_data_bounds_check(
                machine,
                ptr::from_mut(&mut values).cast(),
                Some(is_value),
            ),
            message,
        );
        // Its default has no room for 10,000 instructions.
        check(ubpf::ubpf_set_jit_code_size(machine, 16 << 20), message);
        let bytecode = &arguments.bytecode;
        check(
            ubpf::ubpf_load(
                machine,
                bytecode.as_ptr().cast(),
                bytecode.len() as u32,
                &mut message,
            ),
            message,
        );
        match &arguments.engine[..] {
            "interpreter" => serve(&mut memory, started, |memory| {
                let mut result = 0;
                check(
                    ubpf::ubpf_exec(
                        machine,
                        memory.as_mut_ptr().cast(),
                        memory.len(),
                        &mut result,
                    ),
                    message,
                );
                result
            }),
            "jit" => {
                let Some(program) = ubpf::ubpf_compile(machine, &mut message) else {
                    fail(&text(message))
                };
                serve(&mut memory, started, |memory| {
                    program(memory.as_mut_ptr().cast(), memory.len())
                });
            }
            other => fail(&format!("uBPF has no engine {other}")),
        }
    }
}
