//! How many WebSockets are open, in all and by client address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts them.
#[derive(Debug, Default)]
pub(super) struct Sockets(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_prefix: HashMap<u128, usize>,
}

/// A place taken; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    sockets: Arc<Sockets>,
    prefix: u128,
}

impl Sockets {
    /// A place, if there is one.
    pub(super) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        most: usize,
        of_one: usize,
    ) -> Option<Place> {
        let prefix = super::limiter::prefix(address);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= most {
            return None;
        }
        let own = open.by_prefix.entry(prefix).or_default();
        if *own >= of_one {
            return None;
        }
        *own += 1;
        open.all += 1;
        Some(Place {
            sockets: self.clone(),
            prefix,
        })
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self
            .sockets
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        if let Some(own) = open.by_prefix.get_mut(&self.prefix) {
            *own -= 1;
            if *own == 0 {
                open.by_prefix.remove(&self.prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_by_address_and_come_back() {
        let sockets = Arc::new(Sockets::default());
        let ada: IpAddr = "192.0.2.1".parse().unwrap();
        let bob: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        let first = sockets.enter(ada, 3, 2).unwrap();
        let second = sockets.enter(ada, 3, 2).unwrap();
        assert!(sockets.enter(ada, 3, 2).is_none());
        let third = sockets.enter(bob, 3, 2).unwrap();
        assert!(sockets.enter(bob, 3, 2).is_none(), "all places are taken");
        drop((first, second));
        let fourth = sockets.enter(neighbour, 3, 2).unwrap();
        assert!(sockets.enter(bob, 3, 2).is_none(), "a /64 is one address");
        drop((third, fourth));
        assert_eq!(sockets.open(), 0);
        assert!(sockets.0.lock().unwrap().by_prefix.is_empty());
    }
}
