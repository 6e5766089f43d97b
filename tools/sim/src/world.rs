//! The event loop that ties everything together.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::addresses::{v4, v6};
use crate::client::{Client, Turn};
use crate::host::{Host, unix};
use crate::hostile::Attacker;
use crate::nat::{Behaviour, Nat};
use crate::network::{MILLISECOND, Packet, Queue, SECOND, Time};
use crate::peer::Peer;
use crate::random::Random;
use crate::report::Report;
use crate::scenario::Scenario;
use crate::stun::Transaction;
use crate::trace::{Trace, describe};

/// What a queue entry stands for.
enum Event {
    /// A datagram reaches the host of its destination.
    Arrive(Packet),
    /// A worker wakes.
    Wake(usize),
    /// A client does something.
    Act(usize),
    /// A client looks at a transaction again.
    Timer(usize, Transaction),
    /// A peer talks unasked.
    Talk(usize),
    /// An attacker does something.
    Attack,
    /// A NAT forgets its mappings.
    Rebind(usize),
    /// The operator changes something.
    Operate,
    /// A datagram is at the host at the very nanosecond something expires.
    Strike(Packet),
}

pub(crate) struct World<'a> {
    now: Time,
    random: Random,
    scenario: Scenario,
    queue: Queue<Event>,
    host: Host,
    /// When each worker is due to wake.
    wakes: Vec<Option<Time>>,
    clients: Vec<Client>,
    inside: BTreeMap<SocketAddr, usize>,
    nats: Vec<Nat>,
    peers: Vec<Peer>,
    attacker: Attacker,
    trace: &'a mut Trace,
    /// Clients have left; nobody starts anything any more.
    over: bool,
}

impl<'a> World<'a> {
    pub(crate) fn new(seed: u64, trace: &'a mut Trace) -> Self {
        let mut random = Random::new(seed);
        let scenario = Scenario::draw(&mut random);
        let host = Host::new(&scenario, &mut random);
        let peers = scenario
            .plan
            .peers
            .iter()
            .map(|peer| Peer::new(*peer, &mut random))
            .collect();
        let nats = (0..scenario.nats as u16).map(|number| {
            let behaviour = Behaviour {
                mapping_per_destination: random.percent(40.0),
                filtering: random.percent(70.0),
            };
            Nat::new(
                vec![v4(5, 5, number as u8, 1), v6(0x2a00, number)],
                behaviour,
            )
        });
        let nats = nats.collect();
        let mut world = Self {
            now: 0,
            wakes: vec![None; scenario.workers],
            random,
            scenario,
            queue: Queue::new(),
            host,
            clients: Vec::new(),
            inside: BTreeMap::new(),
            nats,
            peers,
            attacker: Attacker::default(),
            trace,
            over: false,
        };
        world.populate();
        world
    }

    /// Runs until this many events have happened, then lets everybody leave
    /// and everything expire.
    pub(crate) fn run(mut self, events: u64) -> Result<Report, String> {
        let mut report = Report::default();
        while !self.over
            && let Some((at, event)) = self.queue.pop()
        {
            self.now = at;
            self.handle(event)?;
            report.events += 1;
            if report.events >= events {
                self.leave();
            }
        }
        let lifetimes = self.scenario.turn.lifetimes;
        let longest = lifetimes
            .max_allocation
            .max(lifetimes.channel)
            .max(lifetimes.permission);
        let end = self.now + longest.as_nanos() as Time + 120 * SECOND;
        while let Some((at, event)) = self.queue.pop().filter(|(at, _)| *at <= end) {
            self.now = at;
            self.handle(event)?;
            report.events += 1;
        }
        self.now = end;
        for worker in 0..self.host.workers() {
            self.wake(worker)?;
        }
        self.host.check_empty()?;
        report.add(&self.host.report);
        report.seconds = self.now / SECOND;
        report.received = self.clients.iter().map(|client| client.received).sum();
        Ok(report)
    }

    fn populate(&mut self) {
        for index in 0..self.scenario.clients {
            let host = index as u16 + 1;
            let ip = if self.random.percent(25.0) {
                v6(0xfd00, host)
            } else {
                v4(192, 168, 0, host as u8)
            };
            let address = SocketAddr::new(ip, 30_000 + host);
            let (client, _) = self.with_turn(|turn| Client::new(address, turn));
            self.clients.push(client);
            self.inside.insert(address, index);
            let at = self.random.skewed(1, SECOND);
            self.queue.push(at, Event::Act(index));
        }
        for index in 0..self.peers.len() {
            let at = self.random.skewed(1, 10 * SECOND);
            self.queue.push(at, Event::Talk(index));
        }
        if self.random.percent(50.0) {
            let (nat, at) = (
                self.random.index(self.nats.len()),
                self.random.skewed(MILLISECOND, 60 * SECOND),
            );
            self.queue.push(at, Event::Rebind(nat));
        }
        self.queue.push(1, Event::Attack);
        let at = self.random.skewed(SECOND / 10, 60 * SECOND);
        self.queue.push(at, Event::Operate);
    }

    fn handle(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Arrive(packet) => self.arrive(packet),
            Event::Wake(worker) if self.wakes[worker] == Some(self.now) => {
                return self.wake(worker);
            }
            Event::Wake(_) => {}
            Event::Timer(client, transaction) => {
                self.client(client, |client, turn| client.on_timer(transaction, turn));
            }
            _ if self.over => {}
            Event::Strike(packet) => {
                if let Some(worker) = self.host.receive(packet) {
                    return self.wake(worker);
                }
            }
            Event::Act(index) => {
                self.client(index, Client::act);
                let (low, high) = self.scenario.pace;
                // Now and then a pause that something expires in.
                let pause = if self.random.percent(1.0) {
                    40 * SECOND
                } else {
                    0
                };
                let wait = self.random.skewed(low, high) + pause;
                self.queue.push(self.now + wait, Event::Act(index));
            }
            Event::Talk(index) => {
                let relays = self.known_relays();
                for packet in self.peers[index].talk(&relays, &mut self.random) {
                    self.carry(packet);
                }
                let wait = self.random.skewed(10 * MILLISECOND, 20 * SECOND);
                self.queue.push(self.now + wait, Event::Talk(index));
            }
            Event::Attack => self.attack(),
            Event::Rebind(nat) => {
                self.trace
                    .note(self.now, || format!("NAT {nat} forgets its mappings"));
                self.nats[nat].rebind();
                let wait = self.random.skewed(SECOND, 300 * SECOND);
                self.queue.push(self.now + wait, Event::Rebind(nat));
            }
            Event::Operate => return self.operate(),
        }
        Ok(())
    }

    fn arrive(&mut self, packet: Packet) {
        let destination = packet.destination;
        if let Some(nat) = self
            .nats
            .iter()
            .find(|nat| nat.public.contains(&destination.ip()))
        {
            let inside = nat.inbound(destination, packet.source);
            if let Some(index) = inside.and_then(|inside| self.inside.get(&inside).copied()) {
                self.trace.note(self.now, || {
                    format!("client {index} gets {}", describe(&packet))
                });
                self.client(index, |client, turn| client.receive(&packet.bytes, turn));
            }
        } else if let Some(peer) = self
            .peers
            .iter_mut()
            .find(|peer| peer.address == destination)
        {
            self.trace
                .note(self.now, || format!("peer gets {}", describe(&packet)));
            if let Some(echo) = peer.receive(packet, &mut self.random) {
                self.carry(echo);
            }
        } else if let Some(worker) = self.host.receive(packet) {
            let wait = self.random.between(0, self.scenario.wake_delay);
            self.wake_at(worker, self.now + wait);
        }
    }

    fn wake(&mut self, worker: usize) -> Result<(), String> {
        self.wakes[worker] = None;
        let now = self.now;
        let sent = self.host.round(worker, now, &mut self.random, self.trace)?;
        for packet in sent {
            self.carry(packet);
        }
        if self.random.percent(3.0) {
            self.plan_strike();
        }
        if let Some(at) = self.host.next_wake(worker, now) {
            let late = self.random.skewed(1, self.scenario.wake_delay);
            self.wake_at(worker, at + late);
        }
        Ok(())
    }

    /// Aims at the moment something expires, a nanosecond before or after.
    fn plan_strike(&mut self) {
        let borders = self.host.borders();
        if !borders.is_empty() {
            let (at, packet) = self.random.pick(&borders).clone();
            let at = (at + self.random.between(0, 2)).saturating_sub(1);
            if at >= self.now {
                self.queue.push(at, Event::Strike(packet));
            }
        }
    }

    fn wake_at(&mut self, worker: usize, at: Time) {
        if self.wakes[worker].is_none_or(|due| at < due) {
            self.wakes[worker] = Some(at);
            self.queue.push(at, Event::Wake(worker));
        }
    }

    /// Sends a datagram on its way. Between two relay sockets of the host it
    /// never leaves the host; everywhere else the host's one-to-one NAT and
    /// the weather apply.
    fn carry(&mut self, mut packet: Packet) {
        let plan = &self.scenario.plan;
        let of_host = |address: SocketAddr| {
            plan.relays
                .iter()
                .any(|mapping| mapping.local == address.ip())
        };
        if of_host(packet.source) && of_host(packet.destination) {
            self.queue.push(self.now + 1000, Event::Arrive(packet));
            return;
        }
        packet.source = plan.to_public(packet.source);
        packet.destination = plan.to_local(packet.destination);
        for at in self.scenario.weather.arrivals(self.now, &mut self.random) {
            self.queue.push(at, Event::Arrive(packet.clone()));
        }
    }

    fn attack(&mut self) {
        let relays = self.known_relays();
        if self.random.percent(self.scenario.hostility_percent) {
            let plan = &self.scenario.plan;
            let unix = unix(self.now);
            let packets = self.attacker.attack(
                plan,
                &self.scenario.accounts,
                &relays,
                unix,
                &mut self.random,
            );
            for packet in packets {
                self.trace
                    .note(self.now, || format!("attacker sends {}", describe(&packet)));
                self.carry(packet);
            }
        }
        if self.scenario.hostility_percent > 0.0 {
            let (low, high) = self.scenario.pace;
            let wait = self.random.skewed(low, high) / 10 + 1;
            self.queue.push(self.now + wait, Event::Attack);
        }
    }

    fn operate(&mut self) -> Result<(), String> {
        match self.random.between(0, 15) {
            10..=13 => {
                self.trace
                    .note(self.now, || "an allocation is ended".into());
                self.host.delete(self.now, &mut self.random)?;
            }
            14..=15 => {
                let refused = self.random.between(1, 1500) as u16;
                self.host.refuse_segments(refused, &mut self.random);
            }
            0..=4 => {
                self.trace.note(self.now, || "secrets are rotated".into());
                self.scenario
                    .accounts
                    .rotate(unix(self.now), &mut self.random);
                self.host.set_accounts(&self.scenario.accounts);
            }
            5..=7 => {
                self.scenario.policy.strict ^= true;
                self.trace.note(self.now, || {
                    format!("policy is now {:?}", self.scenario.policy)
                });
                self.host.set_policy(self.now, self.scenario.policy)?;
            }
            8 => self.host.forget_nonces(self.now),
            _ if self.random.percent(10.0) => {
                self.trace.note(self.now, || "the host drains".into());
                self.host.drain();
            }
            _ => {}
        }
        let wait = self.random.skewed(SECOND, 120 * SECOND);
        self.queue.push(self.now + wait, Event::Operate);
        Ok(())
    }

    fn leave(&mut self) {
        self.over = true;
        self.trace.note(self.now, || "clients leave".into());
        for index in 0..self.clients.len() {
            self.client(index, Client::leave);
        }
    }

    fn known_relays(&self) -> Vec<SocketAddr> {
        self.clients.iter().filter_map(Client::relayed).collect()
    }

    /// Lets a client act, then sends what it wants sent.
    fn client(&mut self, index: usize, act: impl FnOnce(&mut Client, &mut Turn<'_>)) {
        let mut clients = std::mem::take(&mut self.clients);
        let relays: Vec<_> = clients.iter().filter_map(Client::relayed).collect();
        let ((), (out, timers)) = self.with_relays(&relays, |turn| act(&mut clients[index], turn));
        self.clients = clients;
        for (at, transaction) in timers {
            self.queue.push(at, Event::Timer(index, transaction));
        }
        for mut packet in out {
            let nats = self.nats.len();
            packet.source = self.nats[index % nats].outbound(
                packet.source,
                packet.destination,
                &mut self.random,
            );
            self.attacker.overhear(&packet);
            self.trace.note(self.now, || {
                format!("client {index} sends {}", describe(&packet))
            });
            self.carry(packet);
        }
    }

    fn with_turn<T>(&mut self, act: impl FnOnce(&mut Turn<'_>) -> T) -> (T, Outbox) {
        self.with_relays(&[], act)
    }

    fn with_relays<T>(
        &mut self,
        known_relays: &[SocketAddr],
        act: impl FnOnce(&mut Turn<'_>) -> T,
    ) -> (T, Outbox) {
        let mut turn = Turn {
            now: self.now,
            unix: unix(self.now),
            random: &mut self.random,
            plan: &self.scenario.plan,
            accounts: &self.scenario.accounts,
            known_relays,
            out: Vec::new(),
            timers: Vec::new(),
        };
        let result = act(&mut turn);
        (result, (turn.out, turn.timers))
    }
}

/// Packets and timers a client hands over.
type Outbox = (Vec<Packet>, Vec<(Time, Transaction)>);
