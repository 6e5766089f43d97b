//! Lifetimes and the timers that end them.
//!
//! Whether something has expired is judged by the clock wherever it is used;
//! a timer only gives its slot back. A timer belongs to the slot and stays
//! armed when its object is refreshed or removed: deadlines of a slot never
//! move backwards, so the pending timer fires early at worst and is armed
//! again.

use core::time::Duration;

use forebay_wire::clock::{Instant, Now};

use crate::command::{Command, Deletion};
use crate::config::Lifetimes;
use crate::ids::{AllocationId, PeerConnection};
use crate::requests::PATIENCE;
use crate::server::Server;
use crate::tables::Stage;

/// How long number and peer of an expired channel stay reserved for each
/// other: the five minutes a client has to wait (RFC 8656 §12).
const CHANNEL_GUARD: Duration = Duration::from_secs(300);

/// What a timer token stands for; the slot lies in the lower half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Allocation = 0,
    Permission = 1,
    Channel = 2,
    Reservation = 3,
    Connection = 4,
}

/// The lifetime to give for one asked for, in seconds (RFC 8656 §7.2, §8.2).
pub(crate) fn grant(lifetimes: &Lifetimes, asked: Option<u32>) -> u32 {
    let default = u32::try_from(lifetimes.default_allocation.as_secs()).unwrap_or(u32::MAX);
    let most = u32::try_from(lifetimes.max_allocation.as_secs()).unwrap_or(u32::MAX);
    asked.map_or(default, |asked| asked.min(most).max(default))
}

impl Server {
    /// A timer armed by [`Command::Arm`] is due.
    pub fn on_timer(&mut self, now: Now, token: u64) {
        let slot = token as u32;
        match token >> 32 {
            kind if kind == Kind::Allocation as u64 => self.on_allocation_timer(now.instant, slot),
            kind if kind == Kind::Permission as u64 => self.on_permission_timer(now.instant, slot),
            kind if kind == Kind::Channel as u64 => self.on_channel_timer(now.instant, slot),
            kind if kind == Kind::Reservation as u64 => {
                self.on_reservation_timer(now.instant, slot);
            }
            kind if kind == Kind::Connection as u64 => self.on_connection_timer(now.instant, slot),
            _ => {}
        }
    }

    fn on_allocation_timer(&mut self, now: Instant, slot: u32) {
        if !self.tables.allocations.timer_fired(slot) {
            return;
        }
        if self.outlives(now, slot) {
            self.arm_allocation(now, slot);
        }
    }

    /// Ends what has expired of an allocation. False if nothing is left.
    pub(crate) fn outlives(&mut self, now: Instant, slot: u32) -> bool {
        let Some(allocation) = self.tables.allocations.get(slot) else {
            return false;
        };
        if allocation.expires <= now {
            self.end(slot, Deletion::Expired);
            return false;
        }
        for v6 in [false, true] {
            let relay = self
                .tables
                .allocations
                .get(slot)
                .and_then(|found| found.relay(v6));
            if relay.is_some_and(|relay| relay.expires <= now) {
                self.end_relay(slot, v6);
            }
        }
        true
    }

    fn on_reservation_timer(&mut self, now: Instant, slot: u32) {
        if !self.reservations.slots.timer_fired(slot) {
            return;
        }
        match self.reservations.slots.get(slot) {
            Some(reservation) if now < reservation.expires => self.arm_reservation(slot),
            Some(_) => {
                if let Some(gone) = self.reservations.remove(slot) {
                    self.close_account(gone.account, 1);
                    self.commands
                        .push_back(Command::CloseRelay(gone.relay.socket));
                }
            }
            None => {}
        }
    }

    fn on_connection_timer(&mut self, now: Instant, slot: u32) {
        if !self.connections.timer_fired(slot) {
            return;
        }
        match self
            .connections
            .get(slot)
            .map(|found| (found.stage, found.expires))
        {
            Some((Stage::Connecting | Stage::Waiting, expires)) if now < expires => {
                self.arm_connection(slot);
            }
            Some((Stage::Connecting, _)) => {
                self.commands
                    .push_back(Command::GiveUp(PeerConnection(slot)));
                // To be asked again, should that be overtaken by its coming
                // about.
                if let Some(found) = self.connections.get_mut(slot) {
                    found.expires = now + PATIENCE;
                }
                self.arm_connection(slot);
            }
            Some((Stage::Waiting, _)) => self.connections.close(slot),
            Some((Stage::Bound | Stage::Closing { .. }, _)) | None => {}
        }
    }

    fn on_permission_timer(&mut self, now: Instant, slot: u32) {
        if !self.tables.permissions.timer_fired(slot) {
            return;
        }
        match self.tables.permissions.get(slot) {
            Some(permission) if now < permission.expires => self.arm_permission(slot),
            Some(permission) if permission.channels == 0 => self.tables.remove_permission(slot),
            // The last channel that refers to it takes it along, or a refresh
            // arms it again.
            Some(_) | None => {}
        }
    }

    fn on_channel_timer(&mut self, now: Instant, slot: u32) {
        if !self.tables.channels.timer_fired(slot) {
            return;
        }
        match self.tables.channels.get(slot) {
            Some(channel) if now < channel.expires + CHANNEL_GUARD => self.arm_channel(slot),
            Some(_) => self.unbind(now, slot),
            None => {}
        }
    }

    /// Removes a channel, and its permission if that has only waited for it.
    pub(crate) fn unbind(&mut self, now: Instant, slot: u32) {
        let Some(permission) = self.tables.remove_channel(slot) else {
            return;
        };
        if self
            .tables
            .permissions
            .get(permission)
            .is_some_and(|found| found.channels == 0 && found.expires <= now)
        {
            self.tables.remove_permission(permission);
        }
    }

    /// Ends an allocation and says so.
    pub(crate) fn end(&mut self, slot: u32, reason: Deletion) {
        let allocation = self.id(slot);
        let Some(gone) = self.tables.remove_allocation(slot) else {
            return;
        };
        self.close_account(gone.account, gone.width() as u32);
        self.connections.close_all(slot);
        for relay in gone.relays.into_iter().flatten() {
            self.commands.push_back(Command::CloseRelay(relay.socket));
        }
        self.commands.push_back(Command::Deleted {
            allocation,
            reason,
            usage: gone.usage,
        });
    }

    /// Ends one of an allocation's two relayed addresses.
    pub(crate) fn end_relay(&mut self, slot: u32, v6: bool) {
        let Some(gone) = self.tables.remove_relay(slot, v6) else {
            return;
        };
        if let Some(allocation) = self.tables.allocations.get_mut(slot) {
            let left = allocation.relays.iter().flatten();
            allocation.expires = left.map(|relay| relay.expires).max().unwrap_or_default();
            let account = allocation.account;
            self.close_account(account, 1);
        }
        self.commands.push_back(Command::CloseRelay(gone.socket));
    }

    pub(crate) fn close_account(&mut self, account: u32, less: u32) {
        self.shared.accounts().close(account, less);
        self.counted -= u64::from(less);
    }

    pub(crate) fn id(&self, slot: u32) -> AllocationId {
        AllocationId {
            slot,
            generation: self.tables.allocations.generation(slot),
        }
    }

    /// Never armed further ahead than the shortest lifetime given, so that a
    /// Refresh that shortens the lifetime, or the slot's next owner, cannot
    /// need it earlier.
    pub(crate) fn arm_allocation(&mut self, now: Instant, slot: u32) {
        let Some(allocation) = self.tables.allocations.get(slot) else {
            return;
        };
        let relays = allocation.relays.iter().flatten();
        let expires = relays.map(|relay| relay.expires).min().unwrap_or(now);
        if self.tables.allocations.needs_timer(slot) {
            self.arm(
                Kind::Allocation,
                slot,
                expires.min(now + self.lifetimes.default_allocation),
            );
        }
    }

    pub(crate) fn arm_permission(&mut self, slot: u32) {
        let Some(expires) = self.tables.permissions.get(slot).map(|found| found.expires) else {
            return;
        };
        if self.tables.permissions.needs_timer(slot) {
            self.arm(Kind::Permission, slot, expires);
        }
    }

    pub(crate) fn arm_channel(&mut self, slot: u32) {
        let Some(expires) = self.tables.channels.get(slot).map(|found| found.expires) else {
            return;
        };
        if self.tables.channels.needs_timer(slot) {
            self.arm(Kind::Channel, slot, expires + CHANNEL_GUARD);
        }
    }

    pub(crate) fn arm_reservation(&mut self, slot: u32) {
        let Some(expires) = self.reservations.slots.get(slot).map(|found| found.expires) else {
            return;
        };
        if self.reservations.slots.needs_timer(slot) {
            self.arm(Kind::Reservation, slot, expires);
        }
    }

    pub(crate) fn arm_connection(&mut self, slot: u32) {
        let Some(expires) = self.connections.get(slot).map(|found| found.expires) else {
            return;
        };
        if self.connections.needs_timer(slot) {
            self.arm(Kind::Connection, slot, expires);
        }
    }

    fn arm(&mut self, kind: Kind, slot: u32, at: Instant) {
        self.commands.push_back(Command::Arm {
            token: (kind as u64) << 32 | u64::from(slot),
            at,
        });
    }
}
