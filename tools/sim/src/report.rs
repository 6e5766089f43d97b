//! What a run came to.

use std::collections::BTreeMap;

/// Figures of one run, or of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Events handled.
    pub events: u64,
    /// Virtual time that passed, in seconds.
    pub seconds: u64,
    /// Allocations made.
    pub allocations: u64,
    /// Datagrams relayed.
    pub relayed: u64,
    /// Of these, how many left together with others in one GSO send.
    pub coalesced: u64,
    /// Requests answered.
    pub answered: u64,
    /// Datagrams dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Payload bytes clients received.
    pub received: u64,
}

impl Report {
    /// Adds another run's figures.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.seconds += other.seconds;
        self.allocations += other.allocations;
        self.relayed += other.relayed;
        self.coalesced += other.coalesced;
        self.answered += other.answered;
        self.received += other.received;
        for (reason, packets) in &other.dropped {
            *self.dropped.entry(reason).or_default() += packets;
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{:>12} events", self.events)?;
        writeln!(f, "{:>12} seconds of virtual time", self.seconds)?;
        writeln!(f, "{:>12} allocations", self.allocations)?;
        writeln!(
            f,
            "{:>12} datagrams relayed, {} of them coalesced",
            self.relayed, self.coalesced
        )?;
        writeln!(f, "{:>12} requests answered", self.answered)?;
        writeln!(f, "{:>12} payload bytes received by clients", self.received)?;
        for (reason, packets) in &self.dropped {
            writeln!(f, "{packets:>12} dropped: {reason}")?;
        }
        Ok(())
    }
}
