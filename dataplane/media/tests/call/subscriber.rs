//! Who receives: decrypts, asks again for what is missing, reports, decodes.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use forebay_media::srtp::{Inbound, Outbound};
use forebay_media::{Codec, SessionKey};
use forebay_wire::clock::Instant;
use forebay_wire::rtcp::{Compound, NtpTime, Packet, ReportBlock, Writer};
use forebay_wire::rtp;

use super::decoder::{Decoder, Got};
use super::link::Link;
use super::{Dice, keys};

pub(crate) struct Subscriber {
    pub number: u16,
    pub session: SessionKey,
    pub link: Link,
    inbound: Inbound,
    outbound: Outbound,
    /// By media SSRC.
    pub streams: BTreeMap<u32, Receiving>,
    arrivals: Vec<(u16, Instant)>,
    next_feedback: Instant,
    next_report: Instant,
    next_nack: Instant,
    feedbacks: u8,
    pub dice: Dice,
    /// Of a thousand, on the way back.
    pub loss: u64,
    back: Vec<(Instant, Vec<u8>)>,
    pub padding: u32,
    pub repeated: u32,
    pub nacks: bool,
    pub sender_reports: u32,
    /// Every index seen per SSRC, to catch one that comes twice.
    seen: HashMap<(u32, u64), Vec<u8>>,
    /// Bytes by 100 ms since the beginning.
    pub history: Vec<u64>,
    began: Instant,
}

pub(crate) struct Receiving {
    pub decoder: Decoder,
    highest: Option<u64>,
    missing: BTreeMap<u64, (Instant, u32)>,
    lost: i32,
    last_report: u32,
    last_report_at: Instant,
    pub refreshes: u32,
    last_refresh: Option<Instant>,
    /// Packets in order of arrival.
    pub packets: u64,
}

impl Subscriber {
    pub(crate) fn new(
        number: u16,
        session: SessionKey,
        link: Link,
        now: Instant,
        dice: Dice,
    ) -> Self {
        let theirs = keys(number).1;
        Self {
            number,
            session,
            link,
            inbound: Inbound::new(&theirs),
            outbound: Outbound::new(&theirs),
            streams: BTreeMap::new(),
            arrivals: Vec::new(),
            next_feedback: now,
            next_report: now + Duration::from_secs(1),
            next_nack: now,
            feedbacks: 0,
            dice,
            loss: 0,
            back: Vec::new(),
            padding: 0,
            repeated: 0,
            nacks: true,
            sender_reports: 0,
            seen: HashMap::new(),
            history: Vec::new(),
            began: now,
        }
    }

    pub(crate) fn expect(&mut self, publisher: usize, codec: Codec) {
        let ssrc = 5000 + publisher as u32 * 2;
        self.streams.insert(
            ssrc,
            Receiving {
                decoder: Decoder::new(codec, self.began),
                highest: None,
                missing: BTreeMap::new(),
                lost: 0,
                last_report: 0,
                last_report_at: Instant::default(),
                refreshes: 0,
                last_refresh: None,
                packets: 0,
            },
        );
    }

    pub(crate) fn decoder(&self, publisher: usize) -> &Decoder {
        &self.streams[&(5000 + publisher as u32 * 2)].decoder
    }

    pub(crate) fn step(&mut self, now: Instant, mut send: impl FnMut(Vec<u8>)) {
        while let Some((at, datagram)) = self.link.pop(now) {
            self.receive(at, datagram);
        }
        if now >= self.next_feedback {
            self.next_feedback = now + Duration::from_millis(60);
            self.feedback(now);
        }
        if now >= self.next_report {
            self.next_report = now + Duration::from_secs(1);
            self.report(now);
        }
        if self.nacks && now >= self.next_nack {
            self.next_nack = now + Duration::from_millis(10);
            self.ask_again(now);
        }
        self.refresh(now);
        let delay = self.link.delay;
        let mut index = 0;
        while index < self.back.len() {
            if now >= self.back[index].0 + delay {
                send(self.back.remove(index).1);
            } else {
                index += 1;
            }
        }
    }

    fn receive(&mut self, now: Instant, mut datagram: Vec<u8>) {
        let slot = (now.since(self.began).as_millis() / 100) as usize;
        if self.history.len() <= slot {
            self.history.resize(slot + 1, 0);
        }
        self.history[slot] += datagram.len() as u64;
        if (192..224).contains(&datagram[1]) {
            let len = self
                .inbound
                .unprotect_rtcp(now, &mut datagram)
                .expect("authentic RTCP");
            for packet in Compound::new(&datagram[..len]) {
                if let Packet::SenderReport(report) = packet
                    && let Some(stream) = self.streams.get_mut(&report.ssrc)
                {
                    self.sender_reports += 1;
                    stream.last_report = report.ntp.middle();
                    stream.last_report_at = now;
                    stream.decoder.on_report(now, report.ntp, report.rtp);
                }
            }
            return;
        }
        let header = rtp::Packet::parse_protected(&datagram)
            .expect("an RTP header")
            .header_len();
        let sealed = datagram.clone();
        let (len, index) = self
            .inbound
            .unprotect_rtp(now, &mut datagram, header)
            .expect("authentic and new");
        let packet = rtp::Packet::parse(&datagram[..len]).expect("an RTP packet");
        let ssrc = packet.ssrc();
        // Two different packets under one index would betray the key.
        let before = self.seen.insert((ssrc, index), sealed.clone());
        assert!(
            before.is_none_or(|before| before == sealed),
            "index used twice"
        );
        let elements = elements(&datagram[12..header]);
        for (id, value) in &elements {
            if *id == 3 {
                self.arrivals
                    .push((u16::from_be_bytes([value[0], value[1]]), now));
            }
        }
        assert!(
            elements.iter().any(|(id, value)| *id == 1 && value == b"7"),
            "mid"
        );
        let payload = packet.payload();
        let (media, index, payload) = match self.streams.contains_key(&ssrc) {
            true => (ssrc, index, payload),
            false => {
                let media = ssrc - 1;
                assert_eq!(packet.payload_type(), 101);
                let Some((original, payload)) = rtp::rtx::split(payload) else {
                    self.padding += 1;
                    return;
                };
                self.repeated += 1;
                let Some(highest) = self.streams[&media].highest else {
                    return;
                };
                let back = (highest as u16).wrapping_sub(original) as i16;
                (
                    media,
                    highest.wrapping_add_signed(-i64::from(back)),
                    payload,
                )
            }
        };
        let stream = self.streams.get_mut(&media).expect("expected");
        stream.packets += 1;
        match stream.highest {
            None => {
                assert!(index < 1 << 15, "begins in the lower half");
                stream.highest = Some(index);
            }
            Some(highest) if index > highest => {
                for missing in highest + 1..index {
                    stream.missing.insert(missing, (now, 0));
                }
                stream.highest = Some(index);
            }
            Some(_) => {
                stream.missing.remove(&index);
            }
        }
        if payload.is_empty() {
            self.padding += 1;
            stream.decoder.filler(index);
            return;
        }
        let descriptor = elements
            .iter()
            .find(|(id, _)| *id == 12)
            .map(|(_, value)| value.clone());
        stream.decoder.take(Got {
            index,
            timestamp: packet.timestamp(),
            marker: packet.marker(),
            payload: payload.to_vec(),
            descriptor,
            at: now,
            size: sealed.len(),
        });
    }

    fn send_back(&mut self, now: Instant, write: impl FnOnce(&mut Writer<'_>)) {
        let mut buffer = vec![0; 1400];
        let mut writer = Writer::new(&mut buffer[..1300]);
        write(&mut writer);
        let len = writer.len();
        if len == 0 {
            return;
        }
        let len = self.outbound.protect_rtcp(&mut buffer, len).expect("room");
        buffer.truncate(len);
        if !self.dice.chance(self.loss) {
            self.back.push((now, buffer));
        }
    }

    fn feedback(&mut self, now: Instant) {
        if self.arrivals.is_empty() {
            return;
        }
        let mut arrivals = std::mem::take(&mut self.arrivals);
        let first = arrivals[0].0;
        arrivals.sort_by_key(|(number, _)| number.wrapping_sub(first.wrapping_sub(1000)));
        self.feedbacks = self.feedbacks.wrapping_add(1);
        let count = self.feedbacks;
        self.send_back(now, |writer| {
            writer
                .transport_cc(1, 5000, count, arrivals.iter().copied())
                .expect("room");
        });
    }

    fn report(&mut self, now: Instant) {
        let blocks: Vec<_> = self
            .streams
            .iter_mut()
            .filter(|(_, stream)| stream.highest.is_some())
            .map(|(ssrc, stream)| {
                stream.lost = stream.missing.len() as i32;
                ReportBlock {
                    ssrc: *ssrc,
                    fraction_lost: 0,
                    lost: stream.lost,
                    highest_sequence: stream.highest.unwrap_or(0) as u32,
                    jitter: 90,
                    last_report: stream.last_report,
                    delay: if stream.last_report == 0 {
                        0
                    } else {
                        (now.since(stream.last_report_at).as_micros() * 65_536 / 1_000_000) as u32
                    },
                }
            })
            .collect();
        self.send_back(now, |writer| {
            writer
                .receiver_report(1, &mut blocks.into_iter())
                .expect("room");
        });
    }

    fn ask_again(&mut self, now: Instant) {
        let wait = self.link.delay * 2 + Duration::from_millis(20);
        let mut asks = Vec::new();
        for (ssrc, stream) in &mut self.streams {
            stream
                .missing
                .retain(|_, (at, tries)| *tries < 10 && now.since(*at) < Duration::from_secs(3));
            let numbers: Vec<u16> = stream
                .missing
                .iter_mut()
                .filter(|(_, (at, tries))| {
                    now.since(*at) >= Duration::from_millis(10) + wait * *tries
                })
                .map(|(index, (_, tries))| {
                    *tries += 1;
                    *index as u16
                })
                .collect();
            if !numbers.is_empty() {
                asks.push((*ssrc, numbers));
            }
        }
        for (ssrc, numbers) in asks {
            self.send_back(now, |writer| {
                writer.nack(1, ssrc, numbers).expect("room");
            });
        }
    }

    /// A decoder that is stuck asks for a keyframe.
    fn refresh(&mut self, now: Instant) {
        let mut asks = Vec::new();
        for (ssrc, stream) in &mut self.streams {
            stream.decoder.advance(now);
            let stuck = stream.decoder.stuck(now) >= Duration::from_millis(1_500);
            let soon = stream
                .last_refresh
                .is_some_and(|at| now.since(at) < Duration::from_secs(1));
            if stuck && !soon && stream.packets > 0 {
                stream.last_refresh = Some(now);
                stream.refreshes += 1;
                asks.push(*ssrc);
            }
        }
        for ssrc in asks {
            self.send_back(now, |writer| {
                writer.picture_loss(1, ssrc).expect("room");
            });
        }
    }

    /// Bits per second over the last while.
    pub(crate) fn received(&self, tenths: usize) -> u64 {
        let from = self.history.len().saturating_sub(tenths);
        self.history[from..].iter().sum::<u64>() * 80 / tenths as u64
    }
}

/// Elements of a header extension of either form.
fn elements(extension: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    if extension.len() < 4 {
        return all;
    }
    let short = extension[..2] == [0xbe, 0xde];
    let mut rest = &extension[4..];
    while let [first, after @ ..] = rest {
        if *first == 0 {
            rest = after;
            continue;
        }
        let (id, len, after) = if short {
            (first >> 4, usize::from(first & 15) + 1, after)
        } else {
            (*first, usize::from(after[0]), &after[1..])
        };
        all.push((id, after[..len].to_vec()));
        rest = &after[len..];
    }
    all
}

/// For readers of reports.
pub(crate) fn seconds(ntp: NtpTime) -> f64 {
    ntp.0 as f64 / (1u64 << 32) as f64
}
