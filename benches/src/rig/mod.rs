//! Two network namespaces joined by a virtual wire.
//!
//! The server runs on core 0, generator and sink on core 1. A packet towards
//! the server is received by softirq on the core that sent it, so receive
//! processing up to the server's socket is not charged to the server, and
//! everything the server's own system calls do is, the send path and the drop
//! at the sink included. With [`ReceivePath::OnServerCore`] the receive
//! processing moves to a kernel thread on the server's core instead, as with a
//! NIC whose interrupts hit that core: the way to see receive livelock.
//!
//! A burst leaves the generator as one segmentation-offload send and is cut
//! into plain datagrams in software before the wire, so the server sees
//! back-to-back datagrams as from a NIC, and merges them (or not) by GRO.

pub mod cleanup;
pub mod command;
pub mod heap;
mod priority;
pub mod process;
pub mod raw;
pub mod sink;
pub mod steering;

use std::fs::File;
use std::net::Ipv4Addr;
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, setns};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Pid, geteuid};

use command::run;

/// Core of the server under test.
pub const SERVER_CORE: usize = 0;
/// Core of generator and sink.
pub const GENERATOR_CORE: usize = 1;
/// Namespace of the servers.
pub const SERVER_NAMESPACE: &str = "fb-bench-srv";
/// Namespace of clients and peers.
pub const GENERATOR_NAMESPACE: &str = "fb-bench-gen";
/// The servers' end of the wire.
pub const SERVER_DEVICE: &str = "fb-s0";
/// The generator's end of the wire.
pub const GENERATOR_DEVICE: &str = "fb-g0";
const SERVER_MAC: &str = "02:00:00:00:00:01";
const GENERATOR_MAC: &str = "02:00:00:00:00:02";

/// The allocation test holds 10,000 client sockets, and as many relay sockets
/// are open in a server.
const OPEN_FILES: u64 = 12_000;
const LOCK: &str = "/run/fb-bench.lock";

/// Which core does the receive processing of packets to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceivePath {
    /// The sending core: not charged to the server.
    OnGeneratorCore,
    /// A NAPI thread on the server's core.
    OnServerCore,
}

/// Addresses of one server, of its clients and of their peers. They look like
/// addresses of the global Internet so that no default peer policy refuses
/// them; they exist inside the namespaces only.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The server listens and relays here.
    pub server: Ipv4Addr,
    /// Its clients.
    pub clients: Ipv4Addr,
    /// The peers behind it.
    pub peers: Ipv4Addr,
    /// Clients that only ask for allocations while others pump.
    pub probes: Ipv4Addr,
}

impl Addresses {
    /// Addresses of slot 0 to [`Addresses::SLOTS`] − 1.
    #[must_use]
    pub const fn of_slot(slot: u8) -> Self {
        Self {
            server: Ipv4Addr::new(25, 18, 0, slot + 1),
            clients: Ipv4Addr::new(25, 18, 1, slot + 1),
            peers: Ipv4Addr::new(25, 18, 2, slot + 1),
            probes: Ipv4Addr::new(25, 18, 3, slot + 1),
        }
    }

    /// The address of clients in one of [`Addresses::PREFIXES`] networks of
    /// /24. Servers bound what they answer to one network before it has
    /// authenticated, and ten thousand clients do not share one anyway.
    #[must_use]
    pub const fn spread_clients(&self, prefix: u8) -> Ipv4Addr {
        let [a, b, _, d] = self.clients.octets();
        Ipv4Addr::new(a, b, 16 + prefix % Self::PREFIXES, d)
    }

    /// How many networks [`Addresses::spread_clients`] knows.
    pub const PREFIXES: u8 = 20;

    /// How many servers fit side by side.
    pub const SLOTS: u8 = 8;
}

/// The two namespaces, deleted when dropped.
#[derive(Debug)]
pub struct Rig {
    _lock: File,
}

impl Rig {
    /// Builds the namespaces, after removing what a killed run left behind.
    /// `segmentation_offload` is whether the server's NIC takes UDP
    /// super-packets (most do).
    ///
    /// # Errors
    /// Without root, with a single core, or when a tool is missing or fails.
    pub fn create(segmentation_offload: bool) -> Result<Self> {
        if !geteuid().is_root() {
            bail!("the rig builds network namespaces: run as root");
        }
        if thread::available_parallelism()?.get() <= GENERATOR_CORE {
            bail!("the rig needs two cores");
        }
        let lock = File::create(LOCK).with_context(|| format!("cannot create {LOCK}"))?;
        lock.try_lock()
            .map_err(|_| anyhow!("another run holds {LOCK}"))?;
        if raise_to_hard(Resource::RLIMIT_NOFILE)? < OPEN_FILES {
            bail!("the hard limit of open files is below {OPEN_FILES}: ulimit -Hn {OPEN_FILES}");
        }
        raise_to_hard(Resource::RLIMIT_MEMLOCK)?;
        cleanup::take_precedence();

        for name in [SERVER_NAMESPACE, GENERATOR_NAMESPACE] {
            cleanup::remove_stale(name);
            run(&format!("ip netns add {name}"))?;
            cleanup::hold_namespace(name);
            // Neighbour discovery would be counted among the packets.
            command::feed(
                &format!("ip netns exec {name} tee /proc/sys/net/ipv6/conf/all/disable_ipv6"),
                "1",
            )?;
        }
        let rig = Self { _lock: lock };
        run(&format!(
            "ip link add {SERVER_DEVICE} address {SERVER_MAC} netns {SERVER_NAMESPACE} type veth \
             peer name {GENERATOR_DEVICE} address {GENERATOR_MAC} netns {GENERATOR_NAMESPACE}"
        ))?;
        // Neighbours are told, so that none has to be asked for.
        let mut server = Script::new(SERVER_DEVICE);
        let mut generator = Script::new(GENERATOR_DEVICE);
        for slot in 0..Addresses::SLOTS {
            let addresses = Addresses::of_slot(slot);
            server.local(addresses.server);
            generator.neighbour(addresses.server, SERVER_MAC);
            let spread = (0..Addresses::PREFIXES).map(|prefix| addresses.spread_clients(prefix));
            for address in spread.chain([addresses.clients, addresses.peers, addresses.probes]) {
                generator.local(address);
                server.neighbour(address, GENERATOR_MAC);
            }
        }
        for (name, script) in [(SERVER_NAMESPACE, server), (GENERATOR_NAMESPACE, generator)] {
            command::feed(&format!("ip -n {name} -batch -"), &script.text)?;
        }
        let offload = if segmentation_offload { "on" } else { "off" };
        for line in [
            format!(
                "{SERVER_NAMESPACE} ethtool -K {SERVER_DEVICE} gro on rx-udp-gro-forwarding on"
            ),
            format!("{SERVER_NAMESPACE} ethtool -K {SERVER_DEVICE} tx-udp-segmentation {offload}"),
            format!("{GENERATOR_NAMESPACE} ethtool -K {GENERATOR_DEVICE} tx-udp-segmentation off"),
        ] {
            run(&format!("ip netns exec {line}"))?;
        }
        Ok(rig)
    }

    /// Moves the calling thread, and every thread and process it starts from
    /// now on, to the generator's namespace and core.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn enter_generator(&self) -> Result<()> {
        enter(GENERATOR_NAMESPACE)?;
        let mut cores = CpuSet::new();
        cores.set(GENERATOR_CORE)?;
        sched_setaffinity(Pid::from_raw(0), &cores).context("cannot pin to the generator's core")
    }

    /// Runs `work` on a thread inside the server's namespace.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or what `work` returns.
    pub fn in_server_namespace<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                enter(SERVER_NAMESPACE)?;
                work()
            });
            thread
                .join()
                .map_err(|_| anyhow!("a thread in the server's namespace failed"))?
        })
    }

    /// Chooses which core receives packets to the server.
    ///
    /// # Errors
    /// When the kernel has no threaded NAPI or its thread cannot be found.
    pub fn set_receive_path(&self, path: ReceivePath) -> Result<()> {
        let threaded = path == ReceivePath::OnServerCore;
        // sysfs shows the devices of the namespace that mounted it, which
        // `ip netns exec` does afresh.
        let file = format!("/sys/class/net/{SERVER_DEVICE}/threaded");
        command::feed(
            &format!("ip netns exec {SERVER_NAMESPACE} tee {file}"),
            if threaded { "1" } else { "0" },
        )?;
        if threaded {
            let thread = napi_thread()?;
            let mut cores = CpuSet::new();
            cores.set(SERVER_CORE)?;
            sched_setaffinity(thread, &cores).context("cannot pin the NAPI thread")?;
            // As the softirq thread of a core and its server: equals.
            run(&format!("renice -n {} -p {thread}", priority::FIRST))?;
        }
        Ok(())
    }
}

/// The CPU, the server's core and the kernel, for people.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn machine() -> Result<String> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!(
        "{model}, one core (core {SERVER_CORE}), Linux {}",
        kernel.trim()
    ))
}

impl Drop for Rig {
    fn drop(&mut self) {
        cleanup::release();
    }
}

/// Lines for `ip -batch`.
struct Script {
    device: &'static str,
    text: String,
}

impl Script {
    fn new(device: &'static str) -> Self {
        Self {
            device,
            text: format!("link set lo up\nlink set {device} up\n"),
        }
    }

    fn local(&mut self, address: Ipv4Addr) {
        self.text += &format!("addr add {address}/16 dev {}\n", self.device);
    }

    fn neighbour(&mut self, address: Ipv4Addr, mac: &str) {
        self.text += &format!(
            "neigh add {address} lladdr {mac} dev {} nud permanent\n",
            self.device
        );
    }
}

fn raise_to_hard(resource: Resource) -> Result<u64> {
    let (_, hard) = getrlimit(resource)?;
    setrlimit(resource, hard, hard)?;
    Ok(hard)
}

fn enter(namespace: &str) -> Result<()> {
    let path = format!("/run/netns/{namespace}");
    let file = File::open(&path).with_context(|| format!("cannot open {path}"))?;
    setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {namespace}"))
}

fn napi_thread() -> Result<Pid> {
    let prefix = format!("napi/{SERVER_DEVICE}-");
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if name.starts_with(&prefix) {
            return Ok(Pid::from_raw(pid));
        }
    }
    bail!("the kernel shows no thread {prefix}*")
}
