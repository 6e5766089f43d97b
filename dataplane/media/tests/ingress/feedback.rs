//! What publishers are told.

use core::time::Duration;

use forebay_media::{Change, Event, Report, Ssrc, TrackConfig, TrackKey};
use forebay_wire::clock::Instant;
use forebay_wire::rtcp::{Block, Compound, Dlrr, NtpTime, Packet, ReportBlock, Writer};

use crate::support::Rig;
use crate::support::describe::{Media, VP8, VP8_RTX, audio, video, vp8};

/// A publisher of one video track, SSRC 7 and RTX 8.
fn publisher() -> (Rig, usize, TrackConfig) {
    let mut rig = Rig::default();
    let at = rig.join(1);
    let mut track = video(11, rig.browsers[at].key, "1", &[]);
    track.encodings[0].ssrc = Some(Ssrc(7));
    track.encodings[0].rtx_ssrc = Some(Ssrc(8));
    rig.apply(Change::SetTrack(track.clone()));
    (rig, at, track)
}

fn send(rig: &mut Rig, at: usize, sequence: u16) {
    let picture = vp8(sequence == 0, true, sequence, 1, 0, 500);
    let media = Media::new(7, VP8, &picture)
        .at(sequence, u32::from(sequence) * 900)
        .with(3, &sequence.to_be_bytes());
    rig.rtp(at, &media.build());
    rig.flush();
}

fn nacked(rig: &mut Rig, at: usize) -> Vec<(Instant, u16)> {
    let mut all = Vec::new();
    for (time, compound) in rig.browsers[at].rtcp.drain(..) {
        for packet in Compound::new(&compound) {
            if let Packet::Nack(nack) = packet {
                assert_eq!(nack.media, 7);
                all.extend(nack.sequences().map(|sequence| (time, sequence)));
            }
        }
    }
    all
}

#[test]
fn what_is_missing_is_asked_for_after_a_moment_and_not_for_ever() {
    let (mut rig, at, _) = publisher();
    for sequence in 0..10 {
        send(&mut rig, at, sequence);
    }
    let noticed = rig.now.instant;
    send(&mut rig, at, 13);
    rig.pass(Duration::from_millis(5));
    send(&mut rig, at, 11);
    rig.pass(Duration::from_secs(3));
    let asked = nacked(&mut rig, at);
    let of = |wanted: u16| -> Vec<_> {
        let mine = asked.iter().filter(|(_, sequence)| *sequence == wanted);
        mine.map(|(time, _)| *time).collect()
    };
    assert!(of(11).is_empty(), "it came by itself");
    let tries = of(10);
    assert_eq!(tries, of(12));
    assert!((5..=10).contains(&tries.len()), "{} tries", tries.len());
    let first = tries[0].since(noticed);
    assert!((10..=20).contains(&first.as_millis()), "{first:?}");
    for pair in tries.windows(2) {
        assert!(pair[1].since(pair[0]) >= Duration::from_millis(20));
    }
    assert_eq!(
        rig.forwarder.counters().nacked_packets,
        tries.len() as u64 * 2
    );
}

#[test]
fn a_retransmission_ends_the_asking() {
    let (mut rig, at, _) = publisher();
    for sequence in [0, 1, 2, 4] {
        send(&mut rig, at, sequence);
    }
    rig.pass(Duration::from_millis(20));
    assert_eq!(nacked(&mut rig, at).len(), 1);
    let mut payload = vec![0, 3];
    payload.extend_from_slice(&vp8(false, true, 3, 1, 0, 500));
    rig.rtp(at, &Media::new(8, VP8_RTX, &payload).at(1, 2700).build());
    rig.flush();
    rig.pass(Duration::from_secs(2));
    assert_eq!(nacked(&mut rig, at), []);
}

#[test]
fn sound_is_not_asked_for() {
    let mut rig = Rig::default();
    let at = rig.join(1);
    rig.apply(Change::SetTrack(audio(10, rig.browsers[at].key, "0")));
    for sequence in [0, 1, 5] {
        let media = Media::new(7, 111, &[1; 40]).at(sequence, 0);
        rig.rtp(at, &media.named("0", "").build());
    }
    rig.flush();
    rig.pass(Duration::from_secs(1));
    assert_eq!(nacked(&mut rig, at), []);
}

#[test]
fn a_gap_too_long_to_fill_needs_a_keyframe() {
    let (mut rig, at, _) = publisher();
    send(&mut rig, at, 0);
    send(&mut rig, at, 500);
    rig.pass(Duration::from_millis(30));
    let (mut nacks, mut pictures) = (0, 0);
    for (_, compound) in &rig.browsers[at].rtcp {
        for packet in Compound::new(compound) {
            match packet {
                Packet::Nack(_) => nacks += 1,
                Packet::PictureLoss(loss) => {
                    assert_eq!(loss.media, 7);
                    pictures += 1;
                }
                _ => {}
            }
        }
    }
    assert_eq!((nacks, pictures), (0, 1));
}

/// Times at which the publisher was asked for a keyframe.
fn asked(rig: &mut Rig, at: usize) -> Vec<Instant> {
    let all = rig.browsers[at].rtcp.drain(..);
    all.filter(|(_, compound)| {
        Compound::new(compound).any(|packet| matches!(packet, Packet::PictureLoss(_)))
    })
    .map(|(time, _)| time)
    .collect()
}

#[test]
fn keyframes_are_asked_for_at_most_twice_a_second_until_one_comes() {
    let (mut rig, at, _) = publisher();
    send(&mut rig, at, 0);
    send(&mut rig, at, 500);
    for sequence in 501..800 {
        send(&mut rig, at, sequence);
        rig.pass(Duration::from_millis(10));
    }
    let times = asked(&mut rig, at);
    assert!((3..=6).contains(&times.len()), "{} requests", times.len());
    for pair in times.windows(2) {
        assert!(pair[1].since(pair[0]) >= Duration::from_millis(500));
    }
    let picture = vp8(true, true, 800, 1, 0, 500);
    rig.rtp(at, &Media::new(7, VP8, &picture).at(800, 900_000).build());
    rig.flush();
    for sequence in 801..1100 {
        send(&mut rig, at, sequence);
        rig.pass(Duration::from_millis(10));
    }
    assert_eq!(asked(&mut rig, at), []);
}

#[test]
fn arrivals_are_told_over_all_sources_every_fifty_milliseconds() {
    let (mut rig, at, _) = publisher();
    rig.apply(Change::SetTrack(audio(10, rig.browsers[at].key, "0")));
    let start = rig.now.instant;
    let lost = [7, 8, 40, 41, 42];
    let mut truth = Vec::new();
    let mut sequence = 65_500_u16;
    for n in 0..200_u32 {
        rig.pass(Duration::from_millis(5));
        sequence = sequence.wrapping_add(1);
        if lost.contains(&n) {
            continue;
        }
        let number = sequence.to_be_bytes();
        let media = if n % 3 == 0 {
            Media::new(100, 111, &[1; 40]).named("0", "")
        } else {
            Media::new(7, VP8, &[0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        };
        rig.rtp(at, &media.at(n as u16, n * 900).with(3, &number).build());
        rig.flush();
        truth.push((sequence, rig.now.instant));
    }
    rig.pass(Duration::from_millis(200));
    let mut told = Vec::new();
    let mut counts = Vec::new();
    for (_, compound) in &rig.browsers[at].rtcp {
        for packet in Compound::new(compound) {
            if let Packet::TransportCc(feedback) = packet {
                counts.push(feedback.feedback_count);
                told.extend(feedback.received());
            }
        }
    }
    let expected: Vec<u8> = (0..counts.len() as u8).collect();
    assert_eq!(counts, expected);
    assert!((15..=22).contains(&counts.len()), "{}", counts.len());
    assert_eq!(told.len(), truth.len());
    for ((sequence, micros), (sent, time)) in told.iter().zip(&truth) {
        assert_eq!(sequence, sent);
        let since = time.since(start).as_micros() as i64;
        let since_first = micros - told[0].1 + 5000;
        assert!((since - since_first).abs() <= 500, "{since} {since_first}");
    }
}

fn reports(rig: &mut Rig, at: usize) -> Vec<(Instant, ReportBlock)> {
    let mut blocks = Vec::new();
    for (time, compound) in rig.browsers[at].rtcp.drain(..) {
        let mut packets = Compound::new(&compound);
        if let Some(Packet::ReceiverReport(report)) = packets.next() {
            blocks.extend(report.blocks().map(|block| (time, block)));
            let named = packets.any(|packet| matches!(packet, Packet::SourceDescription(_)));
            assert!(named, "a compound carries a CNAME");
        }
    }
    blocks
}

#[test]
fn receiver_reports_count_loss_and_echo_sender_reports() {
    let (mut rig, at, _) = publisher();
    let mut buffer = [0; 64];
    let mut writer = Writer::new(&mut buffer);
    let ntp = NtpTime(0x1234_5678_9abc_def0);
    writer
        .sender_report(7, ntp, 0, 1, 1, &mut core::iter::empty())
        .unwrap();
    let len = writer.len();
    rig.rtcp(at, &buffer[..len]);
    for sequence in 0..100 {
        if sequence % 4 != 3 || sequence > 90 {
            send(&mut rig, at, sequence);
        }
        rig.pass(Duration::from_millis(10));
    }
    rig.pass(Duration::from_secs(1));
    let blocks = reports(&mut rig, at);
    assert_eq!(blocks.len(), 2);
    let (_, block) = blocks[1];
    assert_eq!(block.ssrc, 7);
    assert_eq!(block.lost, 22);
    assert_eq!(block.highest_sequence, 99);
    assert_eq!(block.last_report, 0x5678_9abc);
    assert!(block.delay >= 65_536, "{}", block.delay);
    assert!(blocks[0].1.fraction_lost >= 50, "a fifth or more was lost");
    rig.pass(Duration::from_secs(6));
    rig.browsers[at].rtcp.clear();
    rig.pass(Duration::from_secs(2));
    assert_eq!(reports(&mut rig, at), [], "nothing comes any more");
}

#[test]
fn every_stream_is_reported_on_however_many() {
    let mut rig = Rig::default();
    let at = rig.join(1);
    for n in 0..40 {
        let mut track = audio(100 + n, rig.browsers[at].key, &format!("m{n}"));
        track.encodings[0].ssrc = Some(Ssrc(1000 + n as u32));
        rig.apply(Change::SetTrack(track));
        rig.rtp(at, &Media::new(1000 + n as u32, 111, &[1; 40]).build());
    }
    rig.flush();
    rig.pass(Duration::from_millis(1100));
    let mut sources: Vec<u32> = reports(&mut rig, at)
        .iter()
        .map(|(_, block)| block.ssrc)
        .collect();
    sources.sort_unstable();
    assert_eq!(sources, (1000..1040).collect::<Vec<_>>());
}

#[test]
fn jitter_follows_the_arrivals() {
    let (mut rig, at, _) = publisher();
    for sequence in 0..300_u16 {
        send(&mut rig, at, sequence);
        let late = if sequence % 2 == 0 { 4 } else { 16 };
        rig.pass(Duration::from_millis(late));
    }
    let blocks = reports(&mut rig, at);
    // 6 ms to either side of 10 ms, in 90 kHz units.
    let (_, block) = blocks.last().unwrap();
    assert!((440..=560).contains(&block.jitter), "{}", block.jitter);
}

#[test]
fn the_round_trip_is_measured_by_extended_reports_both_ways() {
    let (mut rig, at, _) = publisher();
    send(&mut rig, at, 0);
    rig.pass(Duration::from_secs(1));
    let mut reference = None;
    for (_, compound) in rig.browsers[at].rtcp.drain(..) {
        for packet in Compound::new(&compound) {
            if let Packet::ExtendedReport(report) = packet {
                for block in report.blocks() {
                    if let Block::ReceiverReferenceTime(time) = block {
                        reference = Some((report.ssrc, time));
                    }
                }
            }
        }
    }
    let (ours, time) = reference.unwrap();
    // 200 ms at the peer, 80 ms under way.
    rig.pass(Duration::from_millis(280));
    let mut buffer = [0; 128];
    let mut writer = Writer::new(&mut buffer);
    let answer = Dlrr {
        ssrc: ours,
        last_report: time.middle(),
        delay: 65_536 / 5,
    };
    writer.delay_since_last(7, &[answer]).unwrap();
    let asked = NtpTime(0xaaaa_bbbb_cccc_dddd);
    writer.receiver_reference_time(7, asked).unwrap();
    let len = writer.len();
    rig.rtcp(at, &buffer[..len]);
    let mut rtt = None;
    rig.pass(Duration::from_secs(5));
    rig.forwarder.report(rig.now, &mut |report| {
        if let Report::Session { rtt: known, .. } = report {
            rtt = known;
        }
    });
    let rtt = rtt.unwrap();
    assert!((78..=82).contains(&rtt.as_millis()), "{rtt:?}");

    let mut answers = Vec::new();
    for (_, compound) in rig.browsers[at].rtcp.drain(..) {
        for packet in Compound::new(&compound) {
            let Packet::ExtendedReport(report) = packet else {
                continue;
            };
            for block in report.blocks() {
                if let Block::DelaySinceLast(all) = block {
                    answers.extend(all.iter().map(Dlrr::read));
                }
            }
        }
    }
    assert_eq!(answers.len(), 1, "told once");
    assert_eq!(answers[0].ssrc, 7);
    assert_eq!(answers[0].last_report, 0xbbbb_cccc);
}

#[test]
fn encodings_cease_sooner_while_others_go_on() {
    let mut rig = Rig::default();
    let at = rig.join(1);
    let track = video(11, rig.browsers[at].key, "1", &["q", "h"]);
    rig.apply(Change::SetTrack(track));
    let picture = vp8(true, true, 1, 1, 0, 200);
    let mut sequence = 0;
    let mut both = |rig: &mut Rig, sources: &[(u32, &str)], time: u32| {
        for _ in 0..time / 20 {
            sequence += 1;
            for (ssrc, rid) in sources {
                let media = Media::new(*ssrc, VP8, &picture).named("1", rid);
                rig.rtp(at, &media.at(sequence, u32::from(sequence) * 1800).build());
            }
            rig.flush();
            rig.pass(Duration::from_millis(20));
        }
    };
    both(&mut rig, &[(1, "q"), (2, "h")], 1000);
    rig.events();
    both(&mut rig, &[(1, "q")], 1000);
    let ceased = |encoding| Event::Encoding {
        track: TrackKey(11),
        encoding,
        active: false,
    };
    assert_eq!(rig.events(), [ceased(1)]);
    rig.pass(Duration::from_millis(2500));
    assert_eq!(rig.events(), []);
    rig.pass(Duration::from_millis(2000));
    assert_eq!(rig.events(), [ceased(0)]);
}

fn levels(rig: &mut Rig) -> Vec<(u8, bool)> {
    let events = rig.events().into_iter();
    events
        .filter_map(|event| match event {
            Event::AudioLevel { level, voice, .. } => Some((level, voice)),
            _ => None,
        })
        .collect()
}

#[test]
fn loudness_is_told_at_most_five_times_a_second() {
    let mut rig = Rig::default();
    let at = rig.join(1);
    rig.apply(Change::SetTrack(audio(10, rig.browsers[at].key, "0")));
    let mut sequence = 0;
    let mut speak = |rig: &mut Rig, level: u8, packets: u32| {
        for _ in 0..packets {
            sequence += 1;
            let media = Media::new(7, 111, &[1; 80]).at(sequence, u32::from(sequence) * 960);
            rig.rtp(at, &media.named("0", "").with(1, &[level]).build());
            rig.flush();
            rig.pass(Duration::from_millis(20));
        }
    };
    speak(&mut rig, 0x80 | 20, 100);
    let told = levels(&mut rig);
    assert!((1..=10).contains(&told.len()), "{told:?}");
    assert_eq!(told.last().unwrap(), &(20, true));
    speak(&mut rig, 127, 100);
    let told = levels(&mut rig);
    assert!(told.len() <= 11);
    let (level, voice) = *told.last().unwrap();
    assert!(level > 120 && !voice, "{level}");
    speak(&mut rig, 0x80 | 30, 50);
    levels(&mut rig);
    rig.pass(Duration::from_secs(2));
    assert_eq!(levels(&mut rig), [(127, false)], "packets have stopped");
}

#[test]
fn garbage_in_a_compound_spoils_nothing() {
    let (mut rig, at, _) = publisher();
    send(&mut rig, at, 0);
    let mut buffer = [0; 256];
    let mut compound = vec![0x81, 205, 0, 1, 0, 0, 0, 0];
    let mut writer = Writer::new(&mut buffer);
    let ntp = NtpTime(0x1234_5678_9abc_def0);
    writer
        .sender_report(7, ntp, 0, 1, 1, &mut core::iter::empty())
        .unwrap();
    compound.extend_from_slice(writer.as_bytes());
    rig.rtcp(at, &compound);
    rig.pass(Duration::from_secs(1));
    let blocks = reports(&mut rig, at);
    assert_eq!(blocks[0].1.last_report, 0x5678_9abc);
    assert_eq!(rig.forwarder.counters().rtcp_received, 1);
}
