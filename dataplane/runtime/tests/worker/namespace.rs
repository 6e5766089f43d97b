//! Network namespaces that live as long as a test, for what depends on the MTU
//! of a link.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};

/// Runs a test in a namespace of its own that has a loopback device of this
/// MTU; every thread it starts is in there too.
pub fn within(mtu: u32, test: impl FnOnce() + Send + 'static) {
    let outcome = std::thread::spawn(move || {
        if unshare(CloneFlags::CLONE_NEWNET).is_err() {
            println!("skipped: needs the right to make a network namespace");
            return;
        }
        run(&format!("link set lo up mtu {mtu}"));
        test();
    })
    .join();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// `ip` in the namespace of the calling thread.
pub fn run(line: &str) {
    let outcome = Command::new("ip").args(line.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&outcome.stderr);
    assert!(outcome.status.success(), "ip {line}: {said}");
}
