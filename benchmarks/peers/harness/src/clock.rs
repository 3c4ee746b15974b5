//! The CPU time of this thread, so that other processes don't count (clock_gettime(2)).

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}

const CLOCK_THREAD_CPUTIME_ID: i32 = 3;

/// A moment of the thread that made it.
pub struct Clock(u64);

impl Clock {
    pub fn start() -> Clock {
        Clock(now())
    }

    pub fn elapsed_ns(&self) -> u64 {
        now() - self.0
    }
}

fn now() -> u64 {
    let mut time = Timespec {
        seconds: 0,
        nanoseconds: 0,
    };
    assert_eq!(
        unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut time) },
        0
    );
    time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64
}
