//! How much each user of the host holds.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::auth::UserTag;

/// One cell per user who holds something, found by a keyed hash of the user
/// that is the same on every shard.
///
/// A cell is one word: the user's tag above, a count below; zero is free. Two
/// shards that meet a user for the first time in the same moment may take a
/// cell each, so a user's count is the sum over the cells with the tag, and
/// whoever raises a count looks at the sum afterwards: two at once may both be
/// refused the last place, but it is never given twice.
#[derive(Debug)]
pub(crate) struct Accounts {
    cells: Box<[AtomicU64]>,
    /// Per cell, what paces the user (see [`crate::pace`]).
    paces: Box<[UserPace]>,
    total: AtomicU64,
}

/// Times at which a user's budgets are full again, nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct UserPace {
    /// Of new permissions.
    pub(crate) peers: AtomicU64,
    /// Of relayed bytes, to peers and to clients.
    pub(crate) moved: [AtomicU64; 2],
}

/// Why nothing more is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The user holds as much as one may.
    User,
    /// The host does.
    Host,
}

const COUNT_BITS: u32 = 20;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

impl Accounts {
    /// Cells a user may be found in. With half of all cells taken, the chance
    /// that so many in a row are is below 10^-9.
    const WINDOW: usize = 32;

    /// For so many users at once.
    pub(crate) fn new(users: u32) -> Self {
        let cells = (users as usize * 2).max(1024).next_power_of_two();
        Self {
            cells: core::iter::repeat_with(AtomicU64::default)
                .take(cells)
                .collect(),
            paces: core::iter::repeat_with(UserPace::default)
                .take(cells)
                .collect(),
            total: AtomicU64::new(0),
        }
    }

    /// Counts `more` and gives the user's cell.
    pub(crate) fn open(
        &self,
        user: UserTag,
        more: u32,
        per_user: Option<u32>,
        on_host: Option<u32>,
    ) -> Result<u32, Full> {
        let more = u64::from(more);
        let before = self.total.fetch_add(more, Relaxed);
        let opened = if on_host.is_some_and(|most| before + more > u64::from(most)) {
            Err(Full::Host)
        } else {
            self.raise(user, more).ok_or(Full::Host).and_then(|cell| {
                if per_user.is_some_and(|most| self.held(user) > u64::from(most)) {
                    self.lower(cell, more);
                    return Err(Full::User);
                }
                Ok(cell)
            })
        };
        if opened.is_err() {
            self.total.fetch_sub(more, Relaxed);
        }
        opened
    }

    /// Counts `less` of what was opened in a cell.
    pub(crate) fn close(&self, cell: u32, less: u32) {
        self.lower(cell, less.into());
        self.total.fetch_sub(less.into(), Relaxed);
    }

    /// What a user holds.
    pub(crate) fn held(&self, user: UserTag) -> u64 {
        let tag = tag(user);
        self.window(user)
            .map(|cell| self.cells[cell].load(Relaxed))
            .filter(|word| word >> COUNT_BITS == tag)
            .map(|word| word & COUNT)
            .sum()
    }

    pub(crate) fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    pub(crate) fn pace(&self, cell: u32) -> Option<&UserPace> {
        self.paces.get(cell as usize)
    }

    pub(crate) fn memory(&self) -> usize {
        size_of_val(&*self.cells) + size_of_val(&*self.paces)
    }

    fn window(&self, user: UserTag) -> impl Iterator<Item = usize> + use<> {
        let mask = self.cells.len() - 1;
        let start = user.bits() as usize;
        (0..Self::WINDOW).map(move |step| start.wrapping_add(step) & mask)
    }

    /// `None` when the user's window is full of others.
    fn raise(&self, user: UserTag, more: u64) -> Option<u32> {
        let tag = tag(user);
        loop {
            let mut free = None;
            let mut own = None;
            for cell in self.window(user) {
                let word = self.cells[cell].load(Relaxed);
                if word & COUNT == 0 {
                    free = free.or(Some((cell, word)));
                } else if word >> COUNT_BITS == tag && (word & COUNT) + more <= COUNT {
                    own = Some((cell, word));
                    break;
                }
            }
            let (cell, before) = own.or(free)?;
            let after = if own.is_some() {
                before + more
            } else {
                tag << COUNT_BITS | more
            };
            if self.cells[cell]
                .compare_exchange(before, after, Relaxed, Relaxed)
                .is_ok()
            {
                return Some(cell as u32);
            }
        }
    }

    fn lower(&self, cell: u32, less: u64) {
        let Some(cell) = self.cells.get(cell as usize) else {
            return;
        };
        // Declines only what was never opened.
        let _ = cell.fetch_update(Relaxed, Relaxed, |word| {
            match (word & COUNT).checked_sub(less)? {
                0 => Some(0),
                _ => Some(word - less),
            }
        });
    }
}

fn tag(user: UserTag) -> u64 {
    (user.bits() >> 64) as u64 >> COUNT_BITS
}
