//! Network namespaces that live as long as a test, for what depends on the MTU
//! of a link.

use std::fs;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

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

/// A router in a namespace of its own, one link away: 198.51.100.1 and
/// 2001:db8:51::1 are ours, and behind it lie 203.0.113.0/24 and
/// 2001:db8:99::/64, over a link that takes 1280 bytes.
pub struct Router {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Router {
    pub const MTU: u32 = 1280;
    pub const OURS: [&'static str; 2] = ["198.51.100.1", "2001:db8:51::1"];

    pub fn new() -> Self {
        let (told, tid) = channel();
        let (begin, connected) = channel::<()>();
        let (ready, is_ready) = channel();
        let (end, ended) = channel::<()>();
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            told.send(gettid()).unwrap();
            connected.recv().unwrap();
            run("link add d0 type veth peer name d1");
            for device in ["d0", "d1"] {
                run(&format!("link set {device} up mtu {}", Self::MTU));
            }
            run("link set b0 up");
            for (address, device) in [
                ("198.51.100.2/24", "b0"),
                ("2001:db8:51::2/64", "b0"),
                ("203.0.113.1/24", "d0"),
                ("2001:db8:99::1/64", "d0"),
            ] {
                add_address(address, device);
            }
            for file in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                fs::write(format!("/proc/sys/net/{file}"), "1").unwrap();
            }
            ready.send(()).unwrap();
            let _ = ended.recv();
        });
        let router = tid.recv().unwrap();
        run("link add a0 type veth peer name b0");
        run(&format!("link set b0 netns {router}"));
        run("link set a0 up");
        add_address("198.51.100.1/24", "a0");
        add_address("2001:db8:51::1/64", "a0");
        begin.send(()).unwrap();
        is_ready.recv().unwrap();
        run("route add 203.0.113.0/24 via 198.51.100.2");
        run("-6 route add 2001:db8:99::/64 via 2001:db8:51::2");
        Self {
            end: Some(end),
            thread: Some(thread),
        }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn add_address(address: &str, device: &str) {
    if address.contains(':') {
        run(&format!("-6 address add {address} dev {device} nodad"));
    } else {
        run(&format!("address add {address} dev {device}"));
    }
}
