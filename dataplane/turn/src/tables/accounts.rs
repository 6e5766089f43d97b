//! How many allocations each user holds.

use core::hash::Hasher;

use crate::auth::UserTag;

use super::index::{Index, Keyed};
use super::slab::Slab;

/// One account per user with at least one allocation.
pub(crate) struct Accounts {
    accounts: Slab<Account>,
    by_user: Index,
    keyed: Keyed,
}

struct Account {
    user: UserTag,
    allocations: u32,
}

impl Accounts {
    pub(crate) fn new(capacity: u32, keyed: Keyed) -> Self {
        let accounts = Slab::new(capacity);
        Self {
            by_user: Index::new(accounts.capacity()),
            accounts,
            keyed,
        }
    }

    fn find(&self, user: UserTag) -> Option<u32> {
        let same = |slot| {
            self.accounts
                .get(slot)
                .is_some_and(|found| found.user == user)
        };
        self.by_user.find(hash(&self.keyed, user), same)
    }

    /// Allocations the user holds.
    pub(crate) fn held(&self, user: UserTag) -> u32 {
        self.find(user)
            .and_then(|slot| self.accounts.get(slot))
            .map_or(0, |account| account.allocations)
    }

    /// Counts one more allocation. `None` when there is no room, which cannot
    /// be while there are no more users than allocations.
    pub(crate) fn open(&mut self, user: UserTag) -> Option<u32> {
        let slot = match self.find(user) {
            Some(slot) => slot,
            None => {
                let Self {
                    accounts,
                    by_user,
                    keyed,
                } = self;
                let slot = accounts.insert(Account {
                    user,
                    allocations: 0,
                })?;
                by_user.insert(hash(keyed, user), slot, |slot| {
                    accounts
                        .get(slot)
                        .map_or(0, |found| hash(keyed, found.user))
                });
                slot
            }
        };
        self.accounts.get_mut(slot)?.allocations += 1;
        Some(slot)
    }

    /// Counts one less.
    pub(crate) fn close(&mut self, slot: u32) {
        let Some(account) = self.accounts.get_mut(slot) else {
            return;
        };
        account.allocations -= 1;
        if account.allocations == 0 {
            let user = account.user;
            self.accounts.remove(slot);
            self.by_user.remove(hash(&self.keyed, user), slot);
        }
    }

    /// Allocations over all users.
    pub(crate) fn total(&self) -> usize {
        (0..self.accounts.used())
            .filter_map(|slot| self.accounts.get(slot))
            .map(|account| account.allocations as usize)
            .sum()
    }

    pub(crate) fn memory(&self) -> usize {
        self.accounts.memory() + self.by_user.memory()
    }
}

fn hash(keyed: &Keyed, user: UserTag) -> u64 {
    keyed.hash(|hasher| hasher.write_u128(user.bits()))
}
