//! How a session's bandwidth is shared among its tracks.

use core::time::Duration;

use forebay_wire::clock::Instant;

use super::estimate::Wanted;
use super::select::Target;

/// Layers one track may offer.
const MAX_RUNGS: usize = 8;
/// What a layer must leave free before it is taken, in percent of the whole.
const MARGIN: u64 = 115;
/// A layer is kept while this much of what it needs is there, for a while …
const TOLERANCE: u64 = 80;
/// … this long.
const GRACE: Duration = Duration::from_millis(1_000);
/// The lowest layers are kept longer where nothing is lost: what seems to get
/// through says little of the path then.
const LOSSLESS_GRACE: Duration = Duration::from_secs(3);
/// A layer that had to be given up is not taken again for this long; twice as
/// long each time it happens again soon.
const FIRST_REST: Duration = Duration::from_millis(1_000);
const LONGEST_REST: Duration = Duration::from_secs(8);
/// What is kept for so long has proved itself.
const PROVED: Duration = Duration::from_secs(20);

/// A step of quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rung {
    pub(crate) target: Target,
    /// Bits per second.
    pub(crate) rate: u64,
}

/// The steps one track offers to one subscriber, rising.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ladder {
    rungs: [Rung; MAX_RUNGS],
    len: u8,
}

impl Ladder {
    /// Adds a step; one that costs no more than the step before replaces it.
    pub(crate) fn push(&mut self, rung: Rung) {
        if let Some(last) = self.rungs[..usize::from(self.len)].last_mut()
            && rung.rate <= last.rate
        {
            *last = rung;
        } else if usize::from(self.len) < MAX_RUNGS {
            self.rungs[usize::from(self.len)] = rung;
            self.len += 1;
        }
    }

    pub(crate) fn rungs(&self) -> &[Rung] {
        &self.rungs[..usize::from(self.len)]
    }

    /// The step that has this target, or the nearest below.
    fn at_or_below(&self, target: Target) -> Option<usize> {
        let key = |target: Target| (target.encoding, target.spatial, target.temporal);
        self.rungs()
            .iter()
            .rposition(|rung| key(rung.target) <= key(target))
    }
}

/// One track's claim.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) ladder: Ladder,
    pub(crate) priority: u8,
    /// What it has now.
    pub(crate) has: Option<Target>,
    /// Steps it gets, counted from the bottom.
    pub(crate) steps: u8,
    /// As of before a trial.
    before: u8,
    /// The caller's own.
    pub(crate) index: u32,
}

impl Claim {
    pub(crate) fn new(ladder: Ladder, priority: u8, has: Option<Target>) -> Self {
        Self {
            ladder,
            priority,
            has,
            steps: 0,
            before: 0,
            index: 0,
        }
    }

    /// What it gets.
    pub(crate) fn target(&self) -> Option<Target> {
        let at = usize::from(self.steps).checked_sub(1)?;
        Some(self.ladder.rungs().get(at)?.target)
    }

    fn rate(&self, steps: u8) -> u64 {
        match usize::from(steps).checked_sub(1) {
            Some(at) => self.ladder.rungs().get(at).map_or(0, |rung| rung.rate),
            None => 0,
        }
    }

    fn has_steps(&self) -> u8 {
        self.has
            .and_then(|target| self.ladder.at_or_below(target))
            .map_or(0, |at| at as u8 + 1)
    }
}

/// What keeps layers from flapping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steadiness {
    /// Since when there has been less than is used.
    short: Option<Instant>,
    /// Since when there has been less than the lowest layers of all need.
    starved: Option<Instant>,
    /// No layer is taken before this.
    rest_until: Option<Instant>,
    rest: Duration,
    lowered: Option<Instant>,
}

impl Steadiness {
    pub(crate) fn new() -> Self {
        Self {
            short: None,
            starved: None,
            rest_until: None,
            rest: FIRST_REST,
            lowered: None,
        }
    }
}

/// What there is to share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Bits per second.
    pub(crate) rate: u64,
    /// It was measured, so it may stop a track altogether.
    pub(crate) measured: bool,
    /// Hardly anything is lost.
    pub(crate) lossless: bool,
}

/// Shares the budget. Returns what more would be of use.
pub(crate) fn allocate(
    now: Instant,
    budget: Budget,
    claims: &mut [Claim],
    steadiness: &mut Steadiness,
) -> Option<Wanted> {
    let available = budget.rate;
    // Higher priority first; equal ones in a steady order.
    claims.sort_by_key(|claim| core::cmp::Reverse(claim.priority));
    let used: u64 = claims
        .iter()
        .map(|claim| claim.rate(claim.has_steps()))
        .sum();
    let bears = bears(now, budget, claims, steadiness);
    if keeps(now, available, used, steadiness) {
        for claim in claims.iter_mut() {
            claim.steps = claim.has_steps();
        }
    } else {
        // Too much is used for too long: begin from nothing, without margin.
        for claim in claims.iter_mut() {
            claim.steps = 0;
        }
        raise(available, claims, 100, |claim, step| {
            step <= claim.has_steps()
        });
        if bears {
            for claim in claims.iter_mut() {
                claim.steps = claim.steps.max(claim.has_steps().min(1));
            }
        }
        lowered(now, steadiness);
    }
    let rests = steadiness.rest_until.is_some_and(|until| now < until);
    // The lowest layer of each, whatever else: a room without a picture is
    // worse than a picture that is not sharp.
    raise(available, claims, 100, |_, step| step == 1);
    if !rests {
        raise(available, claims, MARGIN, |_, _| true);
        yield_to_priority(available, claims);
    }
    if !budget.measured {
        for claim in claims.iter_mut() {
            claim.steps = claim.steps.max(u8::from(claim.ladder.len > 0));
        }
    } else if claims.iter().all(|claim| claim.steps == 0)
        && let Some(first) = claims.iter_mut().find(|claim| claim.ladder.len > 0)
    {
        // One is always sent, be it too much: nothing at all is no service,
        // and loss tells the sender of it.
        first.steps = 1;
    }
    wanted(claims)
}

/// Whether what is used may stay so.
fn keeps(now: Instant, available: u64, used: u64, steadiness: &mut Steadiness) -> bool {
    if available >= used {
        steadiness.short = None;
        return true;
    }
    let since = *steadiness.short.get_or_insert(now);
    let little = available * 100 >= used * TOLERANCE;
    if little && now.since(since) < GRACE {
        return true;
    }
    steadiness.short = None;
    false
}

/// Whether the lowest layers stay although they do not fit: a picture that goes
/// needs a keyframe to come back, and a receiver that was busy for a moment
/// looks like one with hardly any bandwidth.
fn bears(now: Instant, budget: Budget, claims: &[Claim], steadiness: &mut Steadiness) -> bool {
    let lowest: u64 = claims
        .iter()
        .filter(|claim| claim.has_steps() > 0)
        .map(|claim| claim.rate(1))
        .sum();
    if budget.rate >= lowest {
        steadiness.starved = None;
        return false;
    }
    let grace = if budget.lossless {
        LOSSLESS_GRACE
    } else {
        GRACE
    };
    now.since(*steadiness.starved.get_or_insert(now)) < grace
}

/// Takes from who matters less what who matters more could use: what a fresh
/// beginning would give, if it differs in that.
fn yield_to_priority(available: u64, claims: &mut [Claim]) {
    let mixed = claims
        .first()
        .zip(claims.last())
        .is_some_and(|(first, last)| first.priority != last.priority);
    if !mixed || claims.iter().all(|claim| claim.steps == claim.ladder.len) {
        return;
    }
    for claim in claims.iter_mut() {
        claim.before = core::mem::take(&mut claim.steps);
    }
    raise(available, claims, MARGIN, |_, _| true);
    let gains = claims
        .iter()
        .filter(|claim| claim.steps > claim.before)
        .map(|claim| claim.priority)
        .max();
    let loses = claims
        .iter()
        .filter(|claim| claim.steps < claim.before)
        .map(|claim| claim.priority)
        .max();
    let better = match (gains, loses) {
        (Some(gains), Some(loses)) => gains > loses,
        _ => false,
    };
    if !better {
        for claim in claims.iter_mut() {
            claim.steps = claim.before;
        }
    }
}

fn lowered(now: Instant, steadiness: &mut Steadiness) {
    let again = steadiness.lowered.is_some_and(|at| now.since(at) < PROVED);
    steadiness.rest = if again {
        (steadiness.rest * 2).min(LONGEST_REST)
    } else {
        FIRST_REST
    };
    // Lower and lower within one fall is one fall.
    if steadiness
        .lowered
        .is_some_and(|at| now.since(at) < Duration::from_secs(2))
    {
        steadiness.rest = FIRST_REST;
    }
    steadiness.lowered = Some(now);
    steadiness.rest_until = Some(now + steadiness.rest);
}

/// Gives one step after the other, rounds outside, claims inside, while
/// `margin` percent of the sum fits.
fn raise(available: u64, claims: &mut [Claim], margin: u64, allowed: impl Fn(&Claim, u8) -> bool) {
    let mut sum: u64 = claims.iter().map(|claim| claim.rate(claim.steps)).sum();
    for step in 1..=MAX_RUNGS as u8 {
        for claim in claims.iter_mut() {
            if claim.steps + 1 != step || step > claim.ladder.len || !allowed(claim, step) {
                continue;
            }
            let more = claim.rate(step) - claim.rate(claim.steps);
            // What it has already needs no margin.
            let margin = if step <= claim.has_steps() {
                100
            } else {
                margin
            };
            if (sum + more) * margin <= available * 100 {
                claim.steps = step;
                sum += more;
            }
        }
    }
}

fn wanted(claims: &[Claim]) -> Option<Wanted> {
    let sum: u64 = claims.iter().map(|claim| claim.rate(claim.steps)).sum();
    let all: u64 = claims
        .iter()
        .map(|claim| claim.rate(claim.ladder.len))
        .sum();
    let next = claims
        .iter()
        .filter(|claim| claim.steps < claim.ladder.len)
        .map(|claim| claim.rate(claim.steps + 1) - claim.rate(claim.steps))
        .min()?;
    Some(Wanted {
        next: sum + next,
        all,
    })
}
