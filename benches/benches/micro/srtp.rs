//! SRTP: packets of 1200 bytes with a header of 20, the streams taking turns
//! over many transports as in a fan-out.

use std::hint::black_box;

use forebay_media::srtp::{Inbound, Keys, Master, Outbound, Profile};
use forebay_wire::clock::Instant;

use crate::cases::Case;

const HEADER: usize = 20;
const PACKET: usize = 1200;
/// Transports that take turns: their keys are not all in the first-level
/// cache.
const TRANSPORTS: usize = 100;
/// Packets to one transport in a row: a frame.
const FRAME: u64 = 8;

fn keys(profile: Profile, number: usize) -> Keys {
    let mut master = Master::default();
    master.key[..profile.key_len()].fill(number as u8);
    Keys {
        profile,
        local: master.clone(),
        remote: master,
    }
}

fn packet(index: u64) -> [u8; PACKET + Outbound::RTP_OVERHEAD] {
    let mut packet = [0x5A; PACKET + Outbound::RTP_OVERHEAD];
    packet[2..4].copy_from_slice(&(index as u16).to_be_bytes());
    packet
}

/// Protects in place, or from a payload elsewhere.
pub(crate) struct Protect {
    transports: Vec<Outbound>,
    payload: Option<[u8; PACKET - HEADER]>,
    index: u64,
}

impl Protect {
    pub(crate) fn in_place(profile: Profile) -> Box<dyn Case> {
        Self::with(profile, None)
    }

    pub(crate) fn copying(profile: Profile) -> Box<dyn Case> {
        Self::with(profile, Some([0x5A; PACKET - HEADER]))
    }

    fn with(profile: Profile, payload: Option<[u8; PACKET - HEADER]>) -> Box<dyn Case> {
        let transports = (0..TRANSPORTS).map(|number| Outbound::new(&keys(profile, number)));
        Box::new(Self {
            transports: transports.collect(),
            payload,
            index: 0,
        })
    }
}

impl Case for Protect {
    fn run(&mut self) -> u64 {
        let mut buffer = packet(0);
        for outbound in &self.transports {
            for index in self.index..self.index + FRAME {
                buffer[2..4].copy_from_slice(&(index as u16).to_be_bytes());
                let sealed = match &self.payload {
                    None => outbound.protect_rtp(&mut buffer, HEADER, PACKET, index),
                    Some(payload) => outbound.protect_rtp_from(&mut buffer, HEADER, payload, index),
                };
                black_box(sealed.is_ok());
            }
        }
        self.index += FRAME;
        TRANSPORTS as u64 * FRAME
    }
}

/// Unprotects in place.
pub(crate) struct Unprotect {
    ends: Vec<(Outbound, Inbound)>,
    sealed: Vec<[u8; PACKET + Outbound::RTP_OVERHEAD]>,
    len: usize,
    index: u64,
}

impl Unprotect {
    pub(crate) fn boxed(profile: Profile) -> Box<dyn Case> {
        let ends = (0..TRANSPORTS).map(|number| {
            let keys = keys(profile, number);
            (Outbound::new(&keys), Inbound::new(&keys))
        });
        Box::new(Self {
            ends: ends.collect(),
            sealed: Vec::new(),
            len: PACKET + profile.tag_len(),
            index: 0,
        })
    }
}

impl Case for Unprotect {
    fn prepare(&mut self) {
        self.sealed.clear();
        for (outbound, _) in &self.ends {
            for index in self.index..self.index + FRAME {
                let mut packet = packet(index);
                let sealed = outbound.protect_rtp(&mut packet, HEADER, PACKET, index);
                assert!(sealed.is_ok());
                self.sealed.push(packet);
            }
        }
        self.index += FRAME;
    }

    fn run(&mut self) -> u64 {
        let frames = self.sealed.chunks_exact_mut(FRAME as usize);
        for ((_, inbound), frame) in self.ends.iter_mut().zip(frames) {
            for packet in frame {
                let now = Instant::from_nanos(self.index);
                let opened = inbound.unprotect_rtp(now, &mut packet[..self.len], HEADER);
                assert!(opened.is_ok());
            }
        }
        TRANSPORTS as u64 * FRAME
    }
}
