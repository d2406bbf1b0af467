//! Orders of threads: shuttle runs the threads of a test one step at a time, and chooses whose step is next.

use shuttle::scheduler::RandomScheduler;
use shuttle::{Config, Runner};

/// Orders that a test tries.
const ORDERS: usize = 2_000;
/// Stack of a thread, in bytes: a debug build needs more than shuttle's 32 KiB.
const STACK: usize = 256 * 1024;

/// Runs a test in 2,000 random orders of its threads. The test uses threads, locks and channels of shuttle; code under test takes
/// them in place of those of `std` where it is compiled with `cfg(test)`. Fails if the test panics in one order, or if all of its
/// threads wait; the message has the order, which `shuttle::replay` repeats.
pub fn in_many_orders(test: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK;
    Runner::new(RandomScheduler::new(ORDERS), config).run(test);
}
