//! The worker's loop.
//!
//! A round: enter the kernel once, which submits the last batch's sends and
//! waits for datagrams; reap; give the last batch's buffers back; refill the
//! relays; let the shard handle the next batch; run what it asks for.

mod batch;
mod connections;
mod peers;
mod resend;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};
use forebay_engine::{Command, Progress, RxBatch, RxSlot, Shard, TxBatch};
use forebay_media::Change;
use forebay_sys::clock;
use forebay_sys::ring::{Ring, RingFailed, Wait};
use forebay_wire::clock::{Instant, Now, UnixSeconds};

use super::handle::Mailer;
use super::icmp::Errors;
use super::mailbox::Mailbox;
use super::peers::Peers;
use super::publish::{Counts, Gauges, publish, publish_media, publish_streams};
use super::real_time::RealTime;
use super::reaped::Reaped;
use super::sockets::Sockets;
use super::streams::Streams;
use super::survey::Survey;
use super::tag::Tag;
use super::transmit::Resend;
use super::{StatsPage, Subject, WorkerCommand, WorkerReport};
use crate::dtls::Entrance;

/// Time between two rounds of housekeeping under load: short enough that a
/// reader of the page sees it move, long enough that its microseconds vanish.
const HOUSEKEEPING: Duration = Duration::from_millis(10);
/// Commands taken in one round: at a few microseconds each, more would hold up
/// media for longer than a batch takes.
const COMMANDS: usize = 32;

/// The worker's end of what it shares with other threads.
pub(super) struct Control {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) reports: Sender<WorkerReport>,
    pub(super) page: Arc<StatsPage>,
    /// Where datagrams of DTLS handshakes go.
    pub(super) dtls: Option<Entrance>,
}

/// Everything a worker's thread owns.
pub(super) struct Worker {
    pub(super) ring: Ring,
    pub(super) shard: Shard,
    pub(super) sockets: Sockets,
    pub(super) streams: Streams,
    pub(super) errors: Errors,
    pub(super) control: Control,
    pub(super) requests_per_batch: usize,
    /// Ways to all workers, by index.
    pub(super) neighbours: Arc<[Mailer]>,
    pub(super) peers: Peers,
    media_buffers: usize,
    real_time: RealTime,
    survey: Survey,
    pub(super) state: Rounds,
}

/// The part of a worker that only the loop looks at.
pub(super) struct Rounds {
    reaped: Reaped,
    slots: Vec<RxSlot>,
    /// Buffers of the batch whose sends have not been submitted yet.
    in_use: Vec<u16>,
    pub(super) tx: TxBatch,
    resend: Resend,
    counts: Counts,
    pub(super) now: Now,
    /// Wall-clock time minus monotonic time, nanoseconds.
    unix_offset: u64,
    housekept: Instant,
    /// Time from the last batch to this one.
    round: Duration,
    /// Something happened since the page was last written.
    dirty: bool,
    /// When to open more relays, if they are wanted.
    refill_at: Option<Instant>,
    /// Commands wait in the mailbox.
    mail: bool,
    stopping: bool,
}

/// Room in a batch of transmits: a full batch of merged slots whose datagrams
/// all go different ways.
const TRANSMITS: usize = 4096;
/// Two pieces (header, payload) for 64 datagrams in each of 256 slots.
const PIECES: usize = 32_768;
/// An answer or a Data indication's header for each slot and then some.
const HEADERS: usize = 256 << 10;
/// What is forwarded as well: it is written there, so this is how much goes
/// out before the worker submits and goes on. Small enough to stay in the
/// core's second-level cache until the kernel has copied it, large enough that
/// a submission carries hundreds of sends.
const FORWARDED: usize = 1 << 20;

impl Worker {
    pub(super) fn new(
        ring: Ring,
        shard: Shard,
        (sockets, streams): (Sockets, Streams),
        control: Control,
        real_time: RealTime,
        survey: Survey,
        [media_buffers, request_buffers, requests_per_batch]: [usize; 3],
    ) -> Self {
        let written = if shard.media_counters().is_some() {
            HEADERS + FORWARDED
        } else {
            HEADERS
        };
        Self {
            ring,
            shard,
            sockets,
            streams,
            errors: Errors::default(),
            control,
            real_time,
            survey,
            requests_per_batch,
            neighbours: Arc::new([]),
            peers: Peers::default(),
            media_buffers,
            state: Rounds {
                reaped: Reaped::new(media_buffers + request_buffers),
                slots: Vec::with_capacity(RxBatch::MAX_SLOTS),
                in_use: Vec::with_capacity(RxBatch::MAX_SLOTS),
                tx: TxBatch::with_capacity(TRANSMITS, PIECES, written),
                resend: Resend::default(),
                counts: Counts::default(),
                now: Now::default(),
                unix_offset: 0,
                housekept: Instant::default(),
                round: Duration::ZERO,
                dirty: true,
                refill_at: None,
                mail: false,
                stopping: false,
            },
        }
    }

    /// Bytes of the batches and queues.
    pub(super) fn memory(&self) -> usize {
        let state = &self.state;
        state.tx.transmits.capacity() * size_of::<forebay_engine::Transmit>()
            + state.tx.pieces.capacity() * size_of::<forebay_engine::Piece>()
            + state.tx.headers.capacity()
            + state.slots.capacity() * size_of::<RxSlot>()
            + state.reaped.memory()
            + self.sockets.memory()
            + self.streams.memory()
            + self.ring.own_memory()
    }

    /// Starts to receive and opens the first relays.
    pub(super) fn open(&mut self, listeners: u32) -> Result<(), RingFailed> {
        self.tick();
        for listener in 0..listeners {
            for slot in self.sockets.listener_slots(listener) {
                self.sockets.receive(&mut self.ring, slot)?;
            }
        }
        for slot in self.sockets.media_slots() {
            self.sockets.receive(&mut self.ring, slot)?;
        }
        self.ring
            .read_wake(self.sockets.wake_slot(), Tag::Wake.pack())?;
        let now = self.state.now.instant;
        while self.sockets.refill(&mut self.ring, &mut self.shard, now)? == Some(now) {}
        self.housekeeping();
        Ok(())
    }

    /// Runs until told to stop.
    pub(super) fn run(mut self) -> Result<(), RingFailed> {
        while !self.state.stopping {
            self.round()?;
        }
        // The last word on what was moved.
        self.survey.begin_again();
        while self.survey.is_under_way() && !self.control.reports.is_full() {
            self.tell_survey();
        }
        self.housekeeping();
        self.sockets.stop_listening();
        self.ring.shut_down()
    }

    fn round(&mut self) -> Result<(), RingFailed> {
        let wait = self.wait();
        self.submit(wait)?;
        self.reap()?;
        self.resend()?;
        let state = &mut self.state;
        state.tx.clear();
        self.ring
            .recycle(state.in_use.drain(..).chain(state.reaped.spare.drain(..)));
        self.follow_up()?;

        self.tick();
        let opened = self.sockets.opened;
        self.state.refill_at =
            self.sockets
                .refill(&mut self.ring, &mut self.shard, self.state.now.instant)?;
        self.state.dirty |= self.sockets.opened != opened;
        self.collect_batch();
        self.handle()?;
        let now = self.state.now;
        self.errors.tell(now, &mut self.shard, &mut self.state.tx);
        if self
            .shard
            .next_deadline()
            .is_some_and(|deadline| deadline <= now.instant)
        {
            self.shard.on_timeout(now, &mut self.state.tx);
            self.state.dirty |= !self.state.tx.is_empty();
        }
        self.settle_peers()?;
        self.obey()?;
        self.streams.check(&self.shard, now);
        let due = now.instant >= self.state.housekept + HOUSEKEEPING;
        if self.state.mail {
            self.read_mail()?;
            self.adopt()?;
            self.obey()?;
        }
        self.end_streams()?;
        if self.survey.is_under_way() {
            self.tell_survey();
        }
        if due && self.state.dirty {
            self.housekeeping();
            self.sockets.accept_again(&mut self.ring)?;
            self.sockets
                .release(&mut self.ring, &self.shard, now.instant)?;
            self.errors
                .recover(now.instant, &mut self.ring, &self.sockets)?;
        }
        Ok(())
    }

    /// Reads the clock, once per batch.
    fn tick(&mut self) {
        let nanos = u64::try_from(clock::monotonic().as_nanos()).unwrap_or(u64::MAX);
        let before = self.state.now.instant;
        self.state.round = Instant::from_nanos(nanos).since(before);
        let unix = nanos.wrapping_add(self.state.unix_offset) / 1_000_000_000;
        self.state.now = Now {
            instant: Instant::from_nanos(nanos),
            unix: UnixSeconds(unix),
        };
    }

    fn reap(&mut self) -> Result<(), RingFailed> {
        let Rounds {
            reaped,
            counts,
            dirty,
            now,
            ..
        } = &mut self.state;
        let sockets = &self.sockets;
        let count = self
            .ring
            .reap(|completion| reaped.sort(completion, sockets, counts));
        *dirty |= count > 0;
        if !reaped.errors.is_empty() {
            let (now, completed) = (now.instant, reaped.errors.drain(..));
            self.errors
                .collect(now, &mut self.ring, &mut self.sockets, completed)?;
        }
        Ok(())
    }

    /// Does what completions asked for.
    fn follow_up(&mut self) -> Result<(), RingFailed> {
        for (slot, generation) in self.state.reaped.ended.drain(..) {
            self.sockets
                .receive_ended(&mut self.ring, slot, generation)?;
        }
        for (slot, generation) in self.state.reaped.refused.drain(..) {
            self.sockets.pause_accepting(slot, generation);
        }
        for (slot, generation) in self.state.reaped.closed.drain(..) {
            if self.streams.own(slot) {
                self.streams.closed(slot, generation);
            } else {
                self.sockets.closed(slot, generation);
            }
        }
        self.follow_up_streams()?;
        for (slot, generation) in self.state.reaped.errored.drain(..) {
            self.errors.note(&mut self.sockets, slot, generation);
        }
        self.errors.read(&mut self.ring, &self.sockets)?;
        let free = self
            .media_buffers
            .saturating_sub(self.state.reaped.media.len());
        self.sockets.restart(&mut self.ring, free)?;
        if std::mem::take(&mut self.state.reaped.woken) {
            self.state.mail = true;
            self.ring.woken();
            self.ring
                .read_wake(self.sockets.wake_slot(), Tag::Wake.pack())?;
        }
        Ok(())
    }

    fn handle(&mut self) -> Result<(), RingFailed> {
        let state = &mut self.state;
        if state.slots.is_empty() {
            return Ok(());
        }
        state.counts.batches += 1;
        let mut rx = RxBatch {
            memory: self.ring.memory(),
            slots: &state.slots,
        };
        let mut progress = self.shard.handle(state.now, &mut rx, &mut state.tx);
        while progress == Progress::More {
            progress = self.go_on()?;
        }
        Ok(())
    }

    /// Sends what fills the batch and lets the shard go on with the same
    /// receive buffers.
    #[cold]
    fn go_on(&mut self) -> Result<Progress, RingFailed> {
        self.submit(Wait::Not)?;
        self.reap()?;
        self.resend()?;
        let state = &mut self.state;
        Ok(self
            .shard
            .resume(state.now, self.ring.memory(), &mut state.tx))
    }

    /// Carries out what the shard asks for.
    fn obey(&mut self) -> Result<(), RingFailed> {
        while let Some(command) = self.shard.next_command() {
            let report = match command {
                Command::CloseRelay(socket) => {
                    self.sockets.close(&mut self.ring, socket)?;
                    continue;
                }
                Command::Created {
                    allocation,
                    tuple,
                    relayed,
                    tcp,
                    username,
                } => WorkerReport::Created {
                    allocation,
                    path: self.survey.path(&self.streams, &tuple),
                    relayed,
                    tcp,
                    username,
                },
                Command::Deleted {
                    allocation,
                    reason,
                    usage,
                } => WorkerReport::Deleted {
                    allocation,
                    reason,
                    usage,
                },
                Command::Forward {
                    shard,
                    tuple,
                    request,
                } => {
                    self.forward(shard, tuple, request)?;
                    continue;
                }
                Command::Media(event) => WorkerReport::Media(event),
                Command::Tcp(command) => {
                    self.obey_tcp(command)?;
                    continue;
                }
                Command::Dtls {
                    session,
                    source,
                    datagram,
                } => {
                    if let Some(dtls) = &self.control.dtls {
                        dtls.put(session, source, datagram);
                    }
                    continue;
                }
            };
            self.tell(report);
        }
        Ok(())
    }

    fn tell(&mut self, report: WorkerReport) {
        match self.control.reports.try_send(report) {
            // Without a reader there is nobody to miss it.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => self.state.counts.reports_lost += 1,
        }
    }

    /// Carries out what other threads ask for.
    fn read_mail(&mut self) -> Result<(), RingFailed> {
        for _ in 0..COMMANDS {
            match self.control.mailbox.take() {
                Some(WorkerCommand::SetCredentials(credentials)) => {
                    self.shard.set_credentials(&credentials);
                }
                Some(WorkerCommand::SetPolicy(policy)) => self.shard.set_policy(&policy),
                Some(WorkerCommand::Delete(allocation)) => {
                    // False: it ended by itself in the meantime.
                    let _ = self.shard.delete(self.state.now, allocation);
                }
                Some(WorkerCommand::Reconfigure {
                    credentials,
                    policy,
                }) => {
                    if let Some(credentials) = credentials {
                        self.shard.set_credentials(&credentials);
                    }
                    if let Some(policy) = policy {
                        self.shard.set_policy(&policy);
                    }
                }
                Some(WorkerCommand::Survey(number)) => self.survey.begin(number),
                Some(WorkerCommand::Drain) => self.shard.drain(),
                Some(WorkerCommand::Media(change)) => self.apply(change),
                Some(WorkerCommand::Dtls { session, datagram }) => {
                    self.shard.send_dtls(session, &datagram, &mut self.state.tx);
                }
                Some(WorkerCommand::Neighbours(neighbours)) => self.neighbours = neighbours,
                Some(WorkerCommand::TakeOver { tuple, request }) => {
                    self.take_over(&tuple, &request)?;
                }
                Some(WorkerCommand::Stop) => self.state.stopping = true,
                None => {
                    self.state.mail = false;
                    break;
                }
            }
        }
        self.state.dirty = true;
        Ok(())
    }

    /// Goes on with a survey, unless the reader has to catch up first: what it
    /// finds must not be lost.
    #[cold]
    fn tell_survey(&mut self) {
        let at = self.state.now.instant;
        if !self.control.reports.is_full()
            && let Some(found) = self.survey.step(&self.shard, &self.streams, at)
        {
            self.tell(found);
        }
    }

    fn apply(&mut self, change: Change) {
        let subject = Subject::of(&change);
        let Rounds { now, tx, .. } = &mut self.state;
        if let Err(why) = self.shard.apply(*now, change, tx) {
            self.state.counts.media_refused += 1;
            self.tell(WorkerReport::Refused { subject, why });
        }
    }

    /// Statistics, and what else need not be done per batch.
    fn housekeeping(&mut self) {
        let monotonic = self.state.now.instant.as_nanos();
        let unix = u64::try_from(clock::unix().as_nanos()).unwrap_or(u64::MAX);
        self.state.unix_offset = unix.wrapping_sub(monotonic);
        self.state.housekept = self.state.now.instant;

        self.real_time.observe(self.state.now.instant);
        self.sockets.retry_ports(self.state.now.instant);
        self.sockets.count_drops();
        let totals = self.sockets.totals();
        let held = self.shard.relays_held();
        let pairs = self.shard.pairs_held();
        let gauges = Gauges {
            allocations: self.shard.allocations(),
            ports: totals.ports,
            ports_free: totals.free,
            relays_ready: held.v4 + held.v6 + 2 * (pairs.v4 + pairs.v6),
            reserved: self.shard.reservations(),
            redirected: self.shard.redirected(),
            listener_drops: self.sockets.listening.total,
            media_drops: self.sockets.media.total,
            relay_drops: self.sockets.relay_drops,
            open_errors: self.sockets.open_errors,
            overflows: self.ring.overflows(),
            enters: self.ring.enters(),
            icmp_repeated: self.errors.repeated,
            icmp_pauses: self.errors.pauses,
            cpu_nanoseconds: u64::try_from(clock::thread_cpu().as_nanos()).unwrap_or(u64::MAX),
        };
        publish(
            &self.control.page,
            self.shard.counters(),
            &self.state.counts,
            &gauges,
        );
        let failures = *self.shard.auth_failures();
        let counts = &mut self.state.counts;
        if let Some(refused) = counts.refused_credentials(&self.control.page, &failures) {
            self.tell(refused);
        }
        publish_streams(
            &self.control.page,
            &self.streams.counts,
            self.streams.open(),
            [self.shard.connections(), self.streams.spliced()],
        );
        if let Some(media) = self.shard.media_counters() {
            publish_media(&self.control.page, media);
            self.report_quality();
        }
        self.state.dirty = false;
    }

    /// Tells the quality of the next few sessions.
    fn report_quality(&mut self) {
        let (reports, counts) = (&self.control.reports, &mut self.state.counts);
        self.shard.report(self.state.now, &mut |report| {
            if let Err(TrySendError::Full(_)) = reports.try_send(WorkerReport::Quality(report)) {
                counts.reports_lost += 1;
            }
        });
    }
}
