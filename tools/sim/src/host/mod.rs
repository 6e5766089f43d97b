//! The server's host: real shards, one per worker, with simulated sockets,
//! receive queues and relay pools around them.

mod batch;
mod check;
mod pool;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use forebay_engine::{Command, Progress, RxBatch, Shard, ShardConfig, TxBatch};
use forebay_turn::{AllocationId, Seeds, SocketId};
use forebay_wire::clock::{Instant, Now, UnixSeconds};

use crate::accounts::Accounts;
use crate::addresses::{Policy, RELAY_PORTS};
use crate::model::{Model, Relay};
use crate::network::{Packet, SECOND, Time};
use crate::random::Random;
use crate::report::Report;
use crate::scenario::Scenario;
use crate::trace::{Trace, describe};

use batch::{Arrival, Received, Sent, datagrams};
use pool::Pool;

/// Wall-clock time at the start of every run.
pub(crate) const EPOCH: u64 = 1_800_000_000;

/// Shards do not lower their largest segment below this: every IPv6 path
/// carries it.
const LEAST_MAX_SEGMENT: u16 = 1232;

pub(crate) fn unix(now: Time) -> u64 {
    EPOCH + now / SECOND
}

fn clock(now: Time) -> Now {
    Now {
        instant: Instant::from_nanos(now),
        unix: UnixSeconds(unix(now)),
    }
}

/// All workers, and the model they are held against.
pub(crate) struct Host {
    pub(crate) model: Model,
    workers: Vec<Worker>,
    /// Which worker's socket is bound to a local relay address.
    bound: BTreeMap<SocketAddr, Relay>,
    queue_limit: usize,
    batch_limit: usize,
    merge_percent: f64,
    budgeted: bool,
    /// Figures so far.
    pub(crate) report: Report,
}

struct Worker {
    shard: Shard,
    tx: TxBatch,
    received: Received,
    queue: VecDeque<Arrival>,
    pool: Pool,
    ids: BTreeMap<AllocationId, Relay>,
    draining: bool,
    requests_per_batch: usize,
    max_segment: u16,
}

impl Host {
    pub(crate) fn new(scenario: &Scenario, random: &mut Random) -> Self {
        let nonce_key = random.bytes();
        let plan = &scenario.plan;
        let listeners = plan.listeners.len() as u32;
        let mut workers = Vec::new();
        for index in 0..scenario.workers {
            let config = ShardConfig {
                turn: forebay_turn::Config {
                    shared: scenario.turn.shared.of(index as u16),
                    ..scenario.turn.clone()
                },
                media: None,
                listeners,
                sockets: listeners + scenario.relay_sockets,
                streams: 0,
                max_segment: scenario.max_segment,
                requests_per_batch: scenario.requests_per_batch,
            };
            let seeds = Seeds {
                nonce_key,
                hash_key: random.u64(),
                random: random.u64(),
            };
            let ports: Vec<u16> = RELAY_PORTS
                .filter(|port| usize::from(*port) % scenario.workers == index)
                .take(scenario.relay_ports)
                .collect();
            let mut worker = Worker {
                shard: Shard::new(config, seeds),
                tx: TxBatch::with_capacity(scenario.tx.0, scenario.tx.1, scenario.tx.2),
                received: Received::default(),
                queue: VecDeque::new(),
                pool: Pool::new(
                    plan,
                    &ports,
                    listeners..listeners + scenario.relay_sockets,
                    scenario.relays_ready,
                ),
                ids: BTreeMap::new(),
                draining: false,
                requests_per_batch: scenario.requests_per_batch.into(),
                max_segment: scenario.max_segment,
            };
            worker
                .shard
                .set_credentials(&scenario.accounts.credentials());
            worker.shard.set_policy(&scenario.policy.configured(plan));
            workers.push(worker);
        }
        let model = Model::new(
            &scenario.turn,
            plan.clone(),
            scenario.policy,
            scenario.accounts.clone(),
        );
        let mut host = Self {
            model,
            workers,
            bound: BTreeMap::new(),
            queue_limit: scenario.queue_limit,
            batch_limit: scenario.batch_limit,
            merge_percent: scenario.merge_percent,
            budgeted: scenario.turn.unauthenticated.per_second > 0,
            report: Report::default(),
        };
        for index in 0..scenario.workers {
            host.top_up(index, random);
        }
        host
    }

    /// Puts a datagram into the queue of the socket it is for. Returns the
    /// worker to wake, or `None` when nobody listens there or the queue is full.
    pub(crate) fn receive(&mut self, packet: Packet) -> Option<usize> {
        let destination = packet.destination;
        let (worker, socket) = match self.model.plan.listener(destination) {
            Some(listener) => (steer(packet.source, self.workers.len()), SocketId(listener)),
            None => {
                let relay = self.bound.get(&destination)?;
                (relay.worker, relay.socket)
            }
        };
        let queue = &mut self.workers[worker].queue;
        if queue.len() >= self.queue_limit {
            return None;
        }
        queue.push_back(Arrival {
            socket,
            local: destination.ip(),
            packet,
        });
        Some(worker)
    }

    /// One turn of a worker's loop. Returns what it sent, as packets.
    pub(crate) fn round(
        &mut self,
        index: usize,
        now: Time,
        random: &mut Random,
        trace: &mut Trace,
    ) -> Result<Vec<Packet>, String> {
        self.model.advance(now);
        let arrivals = self.take(index, random);
        for arrival in &arrivals {
            trace.note(now, || {
                format!("worker {index} takes {}", describe(&arrival.packet))
            });
        }
        let worker = &mut self.workers[index];
        worker.received.fill(&arrivals, self.merge_percent, random);
        let before = worker.shard.counters().clone();
        worker.handle(now)?;
        let sent = self.send(index)?;
        for sent in &sent {
            trace.note(now, || {
                format!(
                    "worker {index} sends {}",
                    describe(&self.packet(index, sent.clone()))
                )
            });
        }
        self.check_round(index, now, &arrivals, &sent, before)?;
        // Before commands are carried out: they may close a socket that sent.
        let packets = sent
            .into_iter()
            .map(|sent| self.packet(index, sent))
            .collect();
        while self.workers[index]
            .shard
            .next_deadline()
            .is_some_and(|deadline| deadline.as_nanos() <= now)
        {
            let Worker { shard, tx, .. } = &mut self.workers[index];
            shard.on_timeout(clock(now), tx);
            self.carry_out(index, now)?;
        }
        self.carry_out(index, now)?;
        if random.percent(70.0) {
            self.top_up(index, random);
        }
        self.check_pool(index)?;
        Ok(packets)
    }

    /// Cuts what the shard wants sent into datagrams, as the kernel would.
    fn send(&mut self, index: usize) -> Result<Vec<Sent>, String> {
        let worker = &self.workers[index];
        let mut sent = Vec::new();
        for transmit in &worker.tx.transmits {
            if let Some(segment) = transmit.segment {
                let most = worker.max_segment;
                if segment > most {
                    return Err(format!(
                        "segments of {segment} bytes, {most} is the largest"
                    ));
                }
                self.report.coalesced += u64::from(transmit.datagrams);
            }
            sent.extend(datagrams(transmit, &worker.tx, &worker.received.memory));
        }
        Ok(sent)
    }

    /// When a worker wants to be woken: now, if datagrams wait.
    pub(crate) fn next_wake(&self, index: usize, now: Time) -> Option<Time> {
        let worker = &self.workers[index];
        if !worker.queue.is_empty() {
            return Some(now);
        }
        worker
            .shard
            .next_deadline()
            .map(|deadline| deadline.as_nanos().max(now))
    }

    pub(crate) fn set_accounts(&mut self, accounts: &Accounts) {
        for worker in &mut self.workers {
            worker.shard.set_credentials(&accounts.credentials());
        }
        self.model.accounts = accounts.clone();
    }

    pub(crate) fn set_policy(&mut self, now: Time, policy: Policy) -> Result<(), String> {
        self.model.advance(now);
        self.model.set_policy(policy);
        for index in 0..self.workers.len() {
            self.workers[index]
                .shard
                .set_policy(&policy.configured(&self.model.plan));
            self.carry_out(index, now)?;
        }
        Ok(())
    }

    /// The operator ends an allocation, or names one that is gone.
    pub(crate) fn delete(&mut self, now: Time, random: &mut Random) -> Result<(), String> {
        self.model.advance(now);
        let index = random.index(self.workers.len());
        let worker = &mut self.workers[index];
        let live: Vec<_> = worker.ids.iter().map(|(id, relay)| (*id, *relay)).collect();
        if live.is_empty() {
            return Ok(());
        }
        let (mut id, relay) = *random.pick(&live);
        let stale = random.percent(30.0);
        id.generation = id.generation.wrapping_sub(u32::from(stale));
        let due = !stale && self.model.owns(relay);
        if worker.shard.delete(clock(now), id) != due {
            return Err(format!("{id:?} should be ended by the operator: {due}"));
        }
        if due {
            self.model.delete(relay);
        }
        self.carry_out(index, now)
    }

    /// The kernel of one worker refuses segments of this size and above, as a
    /// path with a small MTU makes it.
    pub(crate) fn refuse_segments(&mut self, refused: u16, random: &mut Random) {
        let index = random.index(self.workers.len());
        let worker = &mut self.workers[index];
        worker.shard.lower_max_segment(refused);
        worker.max_segment = worker.max_segment.min((refused - 1).max(LEAST_MAX_SEGMENT));
    }

    /// Datagrams that a permission, a channel or an allocation will decide
    /// upon, and when it expires.
    pub(crate) fn borders(&self) -> Vec<(Time, Packet)> {
        self.model.borders()
    }

    pub(crate) fn drain(&mut self) {
        for worker in &mut self.workers {
            worker.shard.drain();
            worker.draining = true;
        }
    }

    /// Lets the model forget nonces nobody can use any more.
    pub(crate) fn forget_nonces(&mut self, now: Time) {
        self.model.forget_nonces(unix(now));
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers.len()
    }

    /// After everything had the time to expire, nothing may be left.
    pub(crate) fn check_empty(&self) -> Result<(), String> {
        for (index, worker) in self.workers.iter().enumerate() {
            if worker.shard.allocations() > 0
                || worker.pool.allocated() > 0
                || !worker.ids.is_empty()
            {
                return Err(format!(
                    "worker {index} still has {} allocations, {} relay sockets and {} ids",
                    worker.shard.allocations(),
                    worker.pool.allocated(),
                    worker.ids.len()
                ));
            }
        }
        if !self.model.allocations.is_empty()
            || !self.model.ended.is_empty()
            || !self.model.created.is_empty()
        {
            return Err("an allocation's end was not reported".into());
        }
        Ok(())
    }

    /// Takes a batch off a worker's queue. Order is kept per socket only, and
    /// of the two kernel sockets behind a listener one may be drained first.
    fn take(&mut self, index: usize, random: &mut Random) -> Vec<Arrival> {
        let queue = &mut self.workers[index].queue;
        let most = random.between(1, self.batch_limit as u64) as usize;
        let mut arrivals: Vec<_> = queue.drain(..most.min(queue.len())).collect();
        if random.percent(30.0) {
            arrivals.sort_by_key(|arrival| arrival.socket);
        }
        if random.percent(30.0) {
            arrivals.sort_by_key(
                |arrival| matches!(arrival.packet.bytes[..], [0..=3, kind, ..] if kind != 0x16),
            );
        }
        arrivals
    }

    fn carry_out(&mut self, index: usize, now: Time) -> Result<(), String> {
        while let Some(command) = self.workers[index].shard.next_command() {
            match command {
                Command::CloseRelay(socket) => {
                    let worker = &mut self.workers[index];
                    let local = worker.pool.close(socket)?;
                    worker.queue.retain(|arrival| arrival.socket != socket);
                    self.bound.remove(&local);
                    let relay = Relay {
                        worker: index,
                        socket,
                    };
                    self.model.relay_closed(relay);
                    if self.model.owns(relay) {
                        return Err(format!("{local} was closed under a live allocation"));
                    }
                }
                Command::Created {
                    allocation,
                    tuple,
                    relayed,
                    tcp: false,
                    username,
                } => {
                    self.created(
                        index,
                        allocation,
                        tuple.client.0,
                        relayed.0,
                        username.as_bytes(),
                    )?;
                }
                Command::Deleted {
                    allocation,
                    reason,
                    usage,
                } => {
                    let relay = self.workers[index].ids.remove(&allocation);
                    let relay = relay
                        .ok_or_else(|| format!("{allocation:?} ended, but was never reported"))?;
                    let ended = self.model.ended.remove(&relay);
                    let ended = ended.ok_or_else(|| {
                        format!("{allocation:?} ended at {now}, but is alive: {reason:?}")
                    })?;
                    if (ended.reason, ended.usage) != (reason, usage) {
                        return Err(format!(
                            "ended with {reason:?} {usage:?}, expected {ended:?}"
                        ));
                    }
                }
                Command::Forward { .. } => {
                    return Err("nobody was given a ticket or a token".into());
                }
                Command::Created { tcp: true, .. } | Command::Tcp(_) => {
                    return Err("nobody came over TCP".into());
                }
                Command::Dtls { .. } | Command::Media(_) => {
                    return Err("nothing is forwarded".into());
                }
            }
        }
        Ok(())
    }

    fn created(
        &mut self,
        index: usize,
        id: AllocationId,
        client: SocketAddr,
        relayed: SocketAddr,
        username: &[u8],
    ) -> Result<(), String> {
        // It may have ended within the same round; then only its end is known.
        let live = self
            .model
            .allocations
            .iter()
            .find(|(_, allocation)| allocation.relayed == relayed);
        let relay = match live {
            Some((tuple, allocation))
                if tuple.client == client && allocation.username == username =>
            {
                allocation.relay
            }
            Some(_) => {
                return Err(format!(
                    "{relayed} was reported for {client}, who does not hold it"
                ));
            }
            None => {
                let local = self.model.plan.to_local(relayed);
                *self
                    .bound
                    .get(&local)
                    .ok_or_else(|| format!("{relayed} was reported, but is not open"))?
            }
        };
        if !self.model.created.remove(&relay) {
            return Err(format!(
                "{relayed} was reported without or before its Allocate"
            ));
        }
        self.workers[index].ids.insert(id, relay);
        Ok(())
    }

    fn top_up(&mut self, index: usize, random: &mut Random) {
        let worker = &mut self.workers[index];
        let opened = worker
            .pool
            .top_up(&self.model.plan, &mut worker.shard, random);
        for (socket, local) in opened {
            self.bound.insert(
                local,
                Relay {
                    worker: index,
                    socket,
                },
            );
        }
    }

    fn packet(&self, index: usize, sent: Sent) -> Packet {
        let listener = self.model.plan.listeners.get(sent.socket.0 as usize);
        let source = match listener {
            Some(locals) => SocketAddr::new(
                sent.source.unwrap_or(locals[0]),
                crate::addresses::LISTENER_PORT,
            ),
            // A check has made sure that the socket is open.
            None => self.workers[index]
                .pool
                .local(sent.socket)
                .unwrap_or(sent.destination),
        };
        Packet {
            source,
            destination: sent.destination,
            ecn: sent.ecn,
            bytes: sent.bytes,
        }
    }
}

impl Worker {
    /// Hands what was received to the shard.
    fn handle(&mut self, now: Time) -> Result<(), String> {
        let Received { memory, slots } = &mut self.received;
        let capacities = |tx: &TxBatch| {
            (
                tx.transmits.capacity(),
                tx.pieces.capacity(),
                tx.headers.capacity(),
            )
        };
        let before = capacities(&self.tx);
        let progress = self
            .shard
            .handle(clock(now), &mut RxBatch { memory, slots }, &mut self.tx);
        if progress != Progress::Done {
            return Err("relaying is not done at once".into());
        }
        if capacities(&self.tx) != before {
            return Err("the transmit batch has grown".into());
        }
        Ok(self.tx.check(memory.len())?)
    }
}

/// The worker that the kernel steers a client's datagrams to.
fn steer(source: SocketAddr, workers: usize) -> usize {
    let ip: Vec<u8> = match source.ip() {
        std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
        std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let bytes = ip.into_iter().chain(source.port().to_be_bytes());
    let hash = bytes.fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    });
    (hash >> 32) as usize % workers
}
