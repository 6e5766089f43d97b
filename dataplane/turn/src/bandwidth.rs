//! Caps on what is relayed, each direction by itself.
//!
//! The fast path asks once per run of packets whether the allocation, its user
//! and the host have budget left, and spends afterwards what the run took.
//!
//! When the host's budget is spent, an allocation goes on at its equal share:
//! the host's speed over the number of allocations that move anything. Those
//! below it never notice; what they leave goes to the others as it comes.

use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;

use forebay_wire::clock::Instant;

use crate::config::BandwidthLimits;
use crate::pace::Speed;
use crate::shared::Shared;
use crate::verdict::Refusal;

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    ToPeer = 0,
    ToClient = 1,
}

/// See the module documentation.
pub(crate) struct Bandwidth {
    allocation: Option<Speed>,
    user: Option<Speed>,
    host: Option<Speed>,
    /// One allocation's part of the host's.
    share: Option<Speed>,
    spent: Vec<Spent>,
    window: u64,
    active: u32,
    shared: Shared,
    /// The batch at hand.
    now: Instant,
}

/// When an allocation's budgets are full again, per direction, nanoseconds.
#[derive(Clone, Copy, Default)]
struct Spent {
    own: [u64; 2],
    share: [u64; 2],
    /// The last window it moved something in.
    window: u64,
}

impl Bandwidth {
    /// What one allocation and one user may exceed their speed by after a
    /// pause: a keyframe is several times what its share of the second is.
    const BURST: Duration = Duration::from_millis(500);
    /// The same for the host, whose link has the shorter queue.
    const HOST_BURST: Duration = Duration::from_millis(50);
    /// Active allocations are counted over 2^28 ns (268 ms): longer than the
    /// pauses of audio with silence suppressed would make shares too small,
    /// shorter would miss slow senders.
    const WINDOW_SHIFT: u32 = 28;

    pub(crate) fn new(limits: BandwidthLimits, shared: Shared, allocations: usize) -> Self {
        let speed = |limit: Option<u64>, burst| limit.map(|limit| Speed::new(limit, burst));
        let mut bandwidth = Self {
            allocation: speed(limits.allocation, Self::BURST),
            user: speed(limits.user, Self::BURST),
            host: speed(limits.host, Self::HOST_BURST),
            share: speed(limits.host, Self::HOST_BURST),
            spent: Vec::new(),
            window: 0,
            active: 0,
            shared,
            now: Instant::default(),
        };
        if bandwidth.is_limited() {
            bandwidth.spent = vec![Spent::default(); allocations];
        }
        bandwidth
    }

    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.allocation.is_some() || self.user.is_some() || self.host.is_some()
    }

    /// A slot has a new owner.
    pub(crate) fn forget(&mut self, slot: u32) {
        if let Some(spent) = self.spent.get_mut(slot as usize) {
            *spent = Spent::default();
        }
    }

    /// Whether the next run of packets may pass.
    #[inline(never)]
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        slot: u32,
        account: u32,
        direction: Direction,
    ) -> Result<(), Refusal> {
        self.now = now;
        let window = now.as_nanos() >> Self::WINDOW_SHIFT;
        if window != self.window {
            self.turn_window(window);
        }
        let Some(spent) = self.spent.get(slot as usize) else {
            return Ok(());
        };
        let way = direction as usize;
        let has = |speed: Option<Speed>, full_at| speed.is_none_or(|speed| speed.has(now, full_at));
        if !has(self.allocation, spent.own[way]) {
            return Err(Refusal::AllocationBandwidth);
        }
        if let Some(pace) = self.shared.accounts().pace(account)
            && !has(self.user, pace.moved[way].load(Relaxed))
        {
            return Err(Refusal::UserBandwidth);
        }
        let host = self.shared.bandwidth().moved[way].load(Relaxed);
        if !has(self.host, host) && !has(self.share, spent.share[way]) {
            return Err(Refusal::HostBandwidth);
        }
        Ok(())
    }

    /// Pays for a run of packets that passed.
    #[inline(never)]
    pub(crate) fn spend(&mut self, slot: u32, account: u32, direction: Direction, bytes: u32) {
        let (now, way) = (self.now, direction as usize);
        let Some(spent) = self.spent.get_mut(slot as usize) else {
            return;
        };
        if let Some(speed) = self.allocation {
            speed.spend(now, &mut spent.own[way], bytes);
        }
        if let Some(speed) = self.user
            && let Some(pace) = self.shared.accounts().pace(account)
        {
            speed.spend_shared(now, &pace.moved[way], bytes);
        }
        if let (Some(host), Some(share)) = (self.host, self.share) {
            if spent.window != self.window {
                spent.window = self.window;
                self.active += 1;
            }
            share.spend(now, &mut spent.share[way], bytes);
            host.spend_shared(now, &self.shared.bandwidth().moved[way], bytes);
        }
    }

    fn turn_window(&mut self, window: u64) {
        let host = self.shared.bandwidth();
        host.tell(self.shared.shard(), self.window, self.active);
        self.share = self
            .host
            .map(|host_speed| host_speed.shared_by(host.active(window)));
        self.window = window;
        self.active = 0;
    }

    pub(crate) fn memory(&self) -> usize {
        self.spent.capacity() * size_of::<Spent>()
    }
}
