//! Starting a worker's thread.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use forebay_engine::Shard;
use forebay_sys::ring::{Ring, RingConfig};
use forebay_sys::sockets::{self as kernel_sockets, Role, Tuning};
use forebay_sys::wake::Waker;
use forebay_sys::{affinity, busy_poll, seccomp, segmentation};

use super::boot::{BootReport, Feature, Memory, SocketBuffers};
use super::error::StartError;
use super::handle::WorkerHandle;
use super::mailbox::Mailbox;
use super::real_time::RealTime;
use super::rounds::{Control, Worker};
use super::sockets::{Sockets, files};
use super::streams::Streams;
use super::survey::Survey;
use super::system_calls::ALLOWED;
use super::{StatsPage, WorkerConfig};

/// Reports that may wait for the control thread: a quarter of a second of the
/// fastest allocation rate.
const REPORTS: usize = 8192;

/// Starts a worker's thread and waits until it receives, or says why it
/// cannot. Call [`preflight::check`](super::preflight::check) once before the
/// first.
pub fn spawn(config: WorkerConfig) -> Result<WorkerHandle, StartError> {
    let index = config.index;
    check(&config)?;
    let refuse = |reason: String| StartError::Worker {
        worker: index,
        reason,
    };
    let (waker, reader) = Waker::new()
        .map_err(|errno| refuse(format!("no eventfd: {errno}; raise `LimitNOFILE=`")))?;
    let mailbox = Arc::new(Mailbox::new(waker));
    let stats: Arc<StatsPage> = Arc::new([const { AtomicU64::new(0) }; forebay_ipc::stats::COUNT]);
    let (reports, receiver) = crossbeam_channel::bounded(REPORTS);
    let (started, outcome) = crossbeam_channel::bounded(1);
    let thread = {
        let control = Control {
            mailbox: Arc::clone(&mailbox),
            reports,
            page: Arc::clone(&stats),
            dtls: config.dtls.clone(),
        };
        std::thread::Builder::new()
            .name(format!("fb-worker-{index}"))
            .spawn(move || {
                let worker = match build(config, reader, control) {
                    Ok((worker, boot)) => {
                        let _ = started.send(Ok(boot));
                        worker
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                        return Ok(());
                    }
                };
                drop(started);
                worker.run().map_err(|error| error.to_string())
            })
            .map_err(|error| refuse(format!("no thread: {error}")))?
    };
    match outcome.recv() {
        Ok(Ok(boot)) => Ok(WorkerHandle {
            index,
            boot,
            stats,
            mailbox,
            reports: receiver,
            thread,
        }),
        Ok(Err(reason)) => Err(refuse(reason)),
        Err(_) => Err(refuse("its thread panicked".to_owned())),
    }
}

fn check(config: &WorkerConfig) -> Result<(), StartError> {
    let refuse = |reason: &str| {
        Err(StartError::Config {
            worker: config.index,
            reason: reason.to_owned(),
        })
    };
    if config.shard.listeners as usize != config.listeners.len() {
        return refuse("the shard was told another number of listeners than there are");
    }
    let media = config.shard.media.as_ref().map_or(0, |media| media.sockets);
    if media as usize != config.media.len() {
        return refuse("the shard was told another number of media sockets than there are");
    }
    let Some(fixed) = config.shard.listeners.checked_add(media) else {
        return refuse("too many sockets");
    };
    if config.shard.sockets < fixed || config.shard.sockets > 1 << 19 {
        return refuse(
            "the number of sockets must lie between that of listeners and media and 524288",
        );
    }
    let media_streams = config.shard.media_streams();
    if [
        config.shard.streams,
        media_streams.len() as u32,
        config.shard.turn.tcp.connections,
    ]
    .into_iter()
    .any(|count| count > 1 << 19)
    {
        return refuse("at most 524288 connections of clients, and of peers");
    }
    if config.shard.streams == 0 && config.shard.turn.tcp.connections > 0 {
        return refuse("connections of peers need connections of clients");
    }
    if config.shard.streams > 0 && config.shard.turn.first_stream.0 != config.shard.sockets {
        return refuse("connections of clients have the ids behind those of sockets");
    }
    if !config.buffers.is_power_of_two() || config.buffers > 1 << 14 {
        return refuse("the number of receive buffers must be a power of two up to 16384");
    }
    Ok(())
}

/// Makes the worker, on its own thread: the ring belongs to the thread that
/// makes it, and memory is taken from the node the core is on.
fn build(
    mut config: WorkerConfig,
    wake: OwnedFd,
    control: Control,
) -> Result<(Worker, BootReport), String> {
    if let Some(core) = config.core
        && !affinity::pin(core)
    {
        return Err(format!(
            "cannot pin to core {core}; this process may use {:?} (`[cores] pin`, or the unit's CPUAffinity= and \
             AllowedCPUs=)",
            affinity::allowed_cores()
        ));
    }
    let (real_time, real_time_outcome) = RealTime::probe(config.real_time);
    let mut boot = BootReport {
        worker: config.index,
        core: config.core,
        ..BootReport::default()
    };
    let request_buffers = (config.buffers / 8).max(16);
    let of_media = config.shard.media_streams().len() as u32;
    let of_turn = config.shard.streams;
    let streams = of_turn + of_media;
    let stream_buffers = match streams {
        0 => 0,
        _ => (config.buffers / 4).clamp(16, 256),
    };
    let peers = config.shard.turn.tcp.connections;
    let table = config.shard.sockets as usize + streams as usize + peers as usize;
    let mut ring = Ring::new(RingConfig {
        files: files(table, config.listeners.len()) as u32,
        media_buffers: config.buffers,
        request_buffers,
        stream_buffers,
        streams: streams + peers,
    })
    .map_err(|error| error.to_string())?;

    let tuning = Tuning {
        receive_buffer: config.relay_receive_buffer,
        send_buffer: config.relay_send_buffer,
        busy_poll: config.busy_poll,
    };
    for relay in &config.relays {
        // Binding to any port tells whether relays can ever be opened there.
        let socket = kernel_sockets::open((relay.local, 0).into(), Role::Relay, tuning)
            .map_err(|errno| cannot_relay(relay.local, errno))?;
        boot.relay = buffers(&socket);
        probe(&socket, config.busy_poll, &mut boot.features);
    }
    boot.features.dedup_by(|a, b| a.name == b.name);
    let mut sets_options = false;
    if let Some(relay) = config.relays.first() {
        sets_options = probe_options(&mut ring, relay.local, tuning)?;
        config.shard.turn.dont_fragment &= sets_options;
    }
    for name in ["dont_fragment", "icmp_errors"] {
        boot.features.push(Feature {
            name,
            active: sets_options,
            note: if sets_options { "" } else { "needs Linux 6.7" }.to_owned(),
        });
    }
    let listening: Box<[SocketAddr]> = config
        .listeners
        .iter()
        .map(|listener| listener.address)
        .collect();
    let media: Vec<IpAddr> = config
        .media
        .iter()
        .map(|media| media.address.ip())
        .collect();
    let mut sockets = Sockets::new(
        &listening,
        &media,
        [config.shard.sockets, streams + peers],
        config.relays,
        &config.relay_ports,
        config.relays_ready,
        tuning,
    );
    sockets.hears_errors = sets_options;
    if config.pass_dscp {
        sockets.carried = u8::MAX;
    }
    let listeners = config.shard.listeners;
    for (number, listener) in (0..listeners).zip(config.listeners) {
        boot.listeners
            .push((listener.address, buffers(&listener.media)));
        let [media, requests] = sockets.listener_slots(number);
        for (slot, socket) in [(media, listener.media), (requests, listener.control)] {
            sockets
                .listen(&mut ring, slot, socket)
                .map_err(|errno| format!("cannot register {}: {errno}", listener.address))?;
        }
    }
    for (slot, media) in sockets.media_slots().zip(config.media) {
        boot.media.push((media.address, buffers(&media.socket)));
        sockets
            .listen(&mut ring, slot, media.socket)
            .map_err(|errno| format!("cannot register {}: {errno}", media.address))?;
    }
    ring.install(sockets.wake_slot(), wake)
        .map_err(|errno| format!("cannot register the eventfd: {errno}"))?;

    let streams = Streams::new(
        config.shard.sockets,
        [of_turn, of_media, peers],
        stream_buffers,
        config.streams,
    );
    let requests_per_batch = usize::from(config.shard.requests_per_batch).max(1);
    let mut shard = Shard::new(config.shard, config.seeds);
    shard.set_credentials(&config.credentials);
    shard.set_policy(&config.policy);
    let feature = real_time_feature(&real_time, real_time_outcome);
    let mut worker = Worker::new(
        ring,
        shard,
        (sockets, streams),
        control,
        real_time,
        Survey::new(listening),
        [
            config.buffers.into(),
            request_buffers.into(),
            requests_per_batch,
        ],
    );
    worker.open(listeners).map_err(|error| error.to_string())?;

    boot.relay_ports = worker.sockets.totals().ports;
    boot.memory = Memory {
        shard: worker.shard.memory(),
        receive_buffers: worker.ring.buffer_memory(),
        worker: worker.memory(),
    };
    boot.features.push(Feature {
        name: "huge_pages",
        active: worker.ring.huge_pages(),
        note: String::new(),
    });
    boot.features.push(Feature {
        name: "gathering_wait",
        active: worker.ring.gathers(),
        note: String::new(),
    });
    boot.features.push(feature);
    let confined = seccomp::confine(ALLOWED);
    boot.features.push(Feature {
        name: "seccomp",
        active: confined.is_ok(),
        note: confined
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default(),
    });
    Ok((worker, boot))
}

/// Whether the ring can set options, told by a socket like those it will.
fn probe_options(ring: &mut Ring, local: IpAddr, tuning: Tuning) -> Result<bool, String> {
    let socket = kernel_sockets::open((local, 0).into(), Role::Relay, tuning)
        .map_err(|errno| cannot_relay(local, errno))?;
    ring.sets_options(socket).map_err(|error| error.to_string())
}

fn real_time_feature(real_time: &RealTime, outcome: Result<(), forebay_sys::Errno>) -> Feature {
    Feature {
        name: "real_time",
        active: real_time.allowed(),
        note: match outcome {
            Ok(()) => String::new(),
            Err(errno) => format!(
                "{errno}: set LimitRTPRIO=1 in the unit or grant CAP_SYS_NICE; without it, overload costs throughput"
            ),
        },
    }
}

fn cannot_relay(address: IpAddr, errno: forebay_sys::Errno) -> String {
    match errno {
        forebay_sys::Errno::EADDRNOTAVAIL => format!(
            "relay address {address} is not on any interface of this host; behind NAT, list the local address and \
             map it with `external`"
        ),
        other => format!("cannot open a relay socket on {address}: {other}"),
    }
}

fn buffers(socket: &OwnedFd) -> SocketBuffers {
    let granted = kernel_sockets::granted(socket.as_fd()).unwrap_or_default();
    SocketBuffers {
        receive: granted.receive,
        send: granted.send,
    }
}

fn probe(socket: &OwnedFd, wanted: u32, features: &mut Vec<Feature>) {
    if !features.is_empty() {
        return;
    }
    let mut note = |name, active, note: &str| {
        features.push(Feature {
            name,
            active,
            note: note.to_owned(),
        });
    };
    note("udp_gro", segmentation::gro(socket.as_fd()), "");
    note("udp_gso", segmentation::gso(socket.as_fd()), "");
    let granted = busy_poll::granted(socket.as_fd());
    if granted == wanted {
        let text = if granted > 0 {
            format!("{granted} µs")
        } else {
            String::new()
        };
        note("busy_poll", granted > 0, &text);
    } else {
        note(
            "busy_poll",
            granted > 0,
            "not granted: needs CAP_NET_ADMIN or sysctl net.core.busy_read",
        );
    }
}
