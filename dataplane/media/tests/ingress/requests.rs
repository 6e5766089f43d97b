//! What subscribers ask for and report, and how it reaches the publisher.

use core::time::Duration;

use forebay_media::{Change, Event, Ssrc};
use forebay_wire::rtcp::{Compound, Packet, Writer};

use crate::support::browser::Browser;
use crate::support::describe::{Media, VP8, subscription, video, vp8};
use crate::support::{Rig, client};

const PUBLISHER: usize = 0;
const SUBSCRIBER: usize = 1;
/// Of the stream towards the subscriber.
const OUT: u32 = 0x5000_0000 + 20 * 2;

/// One video track, SSRC 7, from one browser to another. With `fir` its
/// publisher knows no PLI.
fn call(fir: bool) -> Rig {
    let mut rig = Rig::default();
    for n in [1, 2] {
        rig.join(n);
    }
    let mut track = video(11, rig.browsers[PUBLISHER].key, "1", &[]);
    track.encodings[0].ssrc = Some(Ssrc(7));
    track.fir = fir;
    rig.apply(Change::SetTrack(track.clone()));
    let to = rig.browsers[SUBSCRIBER].key;
    rig.apply(Change::SetSubscription(subscription(20, &track, to)));
    picture(&mut rig, 0, true);
    rig.pass(Duration::from_millis(300));
    for sequence in 1..60 {
        picture(&mut rig, sequence, sequence == 1);
        rig.pass(Duration::from_millis(20));
    }
    for browser in &mut rig.browsers {
        browser.rtcp.clear();
    }
    rig
}

fn picture(rig: &mut Rig, sequence: u16, key: bool) {
    let payload = vp8(key, true, sequence, 1, 0, 500);
    let media = Media::new(7, VP8, &payload)
        .at(sequence, u32::from(sequence) * 1800)
        .marked(true)
        .with(3, &sequence.to_be_bytes());
    rig.rtp(PUBLISHER, &media.build());
    rig.flush();
}

fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = [0; 600];
    let mut writer = Writer::new(&mut buffer);
    write(&mut writer);
    writer.as_bytes().to_vec()
}

/// Requests for keyframes that the publisher got: `None` a PLI, or the number
/// of a FIR.
fn asked(rig: &mut Rig) -> Vec<Option<u8>> {
    let mut all = Vec::new();
    for (_, compound) in rig.browsers[PUBLISHER].rtcp.drain(..) {
        for packet in Compound::new(&compound) {
            match packet {
                Packet::PictureLoss(loss) => {
                    assert_eq!(loss.media, 7);
                    all.push(None);
                }
                Packet::FullIntraRequest(request) => {
                    for (media, command) in request.requests() {
                        assert_eq!(media, 7);
                        all.push(Some(command));
                    }
                }
                _ => {}
            }
        }
    }
    all
}

#[test]
fn either_request_for_a_keyframe_is_handed_on() {
    let pli = written(|writer| writer.picture_loss(9, OUT).unwrap());
    let fir = written(|writer| writer.full_intra_request(9, OUT, 200).unwrap());
    for request in [pli, fir] {
        let mut rig = call(false);
        rig.rtcp(SUBSCRIBER, &request);
        rig.pass(Duration::from_millis(60));
        assert_eq!(asked(&mut rig), [None]);
    }
    let other = written(|writer| writer.full_intra_request(9, OUT + 2, 1).unwrap());
    let mut rig = call(false);
    rig.rtcp(SUBSCRIBER, &other);
    rig.pass(Duration::from_secs(1));
    assert_eq!(asked(&mut rig), [], "not for a stream of nobody");
}

#[test]
fn a_publisher_without_pli_gets_a_command_and_the_same_again_until_it_is_heard() {
    let mut rig = call(true);
    let pli = written(|writer| writer.picture_loss(9, OUT).unwrap());
    rig.rtcp(SUBSCRIBER, &pli);
    for sequence in 60..110 {
        picture(&mut rig, sequence, false);
        rig.pass(Duration::from_millis(20));
    }
    let commands = asked(&mut rig);
    assert!((2..=3).contains(&commands.len()), "{commands:?}");
    let first = commands[0].expect("a FIR");
    assert!(commands.iter().all(|command| *command == Some(first)));

    picture(&mut rig, 110, true);
    rig.pass(Duration::from_secs(2));
    assert_eq!(asked(&mut rig), []);
    rig.rtcp(SUBSCRIBER, &pli);
    picture(&mut rig, 111, false);
    rig.pass(Duration::from_millis(60));
    assert_eq!(asked(&mut rig), [Some(first.wrapping_add(1))], "a new one");
}

#[test]
fn a_bound_by_remb_is_kept() {
    let mut rig = call(false);
    rig.events();
    let bound = written(|writer| writer.remb(9, 150_000, &[OUT]).unwrap());
    for sequence in 60..160 {
        picture(&mut rig, sequence, false);
        rig.rtcp(SUBSCRIBER, &bound);
        rig.pass(Duration::from_millis(20));
    }
    let told = rig
        .events()
        .into_iter()
        .rev()
        .find_map(|event| match event {
            Event::Bandwidth {
                session,
                bits_per_second,
            } if session == rig.browsers[SUBSCRIBER].key => Some(bits_per_second),
            _ => None,
        });
    let told = told.expect("the estimate is another");
    assert!(told <= 150_000, "{told}");
}

#[test]
fn what_is_sent_is_reported_on_under_its_name() {
    let mut rig = call(false);
    for sequence in 60..160 {
        picture(&mut rig, sequence, false);
        rig.pass(Duration::from_millis(20));
    }
    let mut reports = 0;
    for (_, compound) in rig.browsers[SUBSCRIBER].rtcp.drain(..) {
        let packets: Vec<_> = Compound::new(&compound).collect();
        let is_ours = |packet: &Packet<'_>| matches!(packet, Packet::SenderReport(report) if report.ssrc == OUT);
        if !packets.iter().any(is_ours) {
            continue;
        }
        reports += 1;
        let named = packets.iter().any(|packet| match packet {
            Packet::SourceDescription(description) => description
                .chunks()
                .any(|chunk| chunk.ssrc == OUT && chunk.cname.is_some_and(|name| !name.is_empty())),
            _ => false,
        });
        assert!(named, "a sender report comes with the CNAME");
    }
    assert!((1..=3).contains(&reports), "{reports} in two seconds");
}

/// What no RTCP packet is, yet states how long it is.
const MALFORMED: [&[u8]; 6] = [
    // A NACK, a PLI, a FIR, feedback and a report with too little in them.
    &[0x81, 205, 0, 1, 0, 0, 0, 0],
    &[0x81, 206, 0, 1, 0, 0, 0, 0],
    &[0x84, 206, 0, 1, 0, 0, 0, 0],
    &[0x8F, 205, 0, 1, 0, 0, 0, 0],
    &[0x9F, 201, 0, 1, 0, 0, 0, 0],
    // Padding longer than the packet.
    &[0xA1, 206, 0, 2, 0, 0, 0, 0, 0, 0, 0, 99],
];

#[test]
fn a_malformed_packet_spoils_none_of_its_compound() {
    let nack = written(|writer| {
        writer.nack(9, OUT, [1]).unwrap();
    });
    for garbage in MALFORMED {
        // Behind garbage, between, and before it.
        let pli = written(|writer| writer.picture_loss(9, OUT).unwrap());
        for compound in [
            [garbage, &pli, &nack].concat(),
            [&pli[..], garbage, &nack].concat(),
            [&pli[..], &nack, garbage].concat(),
        ] {
            let mut rig = call(false);
            // An empty report first, as RFC 3550 §6.1 has it.
            let report = [&[0x80, 201, 0, 1, 0, 0, 0, 9], &compound[..]].concat();
            let missed = |rig: &Rig| {
                let counters = rig.forwarder.counters();
                counters.retransmitted_packets + counters.retransmissions_missed
            };
            let before = missed(&rig);
            rig.rtcp(SUBSCRIBER, &report);
            rig.pass(Duration::from_millis(60));
            assert_eq!(asked(&mut rig), [None], "{garbage:?}");
            assert_eq!(missed(&rig), before + 1, "{garbage:?}");
        }
    }
}

/// A subscriber whose handshake never ends, beside one that is served.
#[test]
fn who_cannot_be_sent_to_costs_the_publisher_nothing() {
    let mut rig = call(false);
    let absent = Browser::new(3, client(3));
    rig.apply(Change::SetSession(absent.session()));
    let mut track = video(11, rig.browsers[PUBLISHER].key, "1", &[]);
    track.encodings[0].ssrc = Some(Ssrc(7));
    rig.apply(Change::SetSubscription(subscription(
        21, &track, absent.key,
    )));
    for sequence in 60..560 {
        let asked = asked(&mut rig);
        assert!(sequence < 90 || asked.is_empty(), "at {sequence}");
        picture(&mut rig, sequence, !asked.is_empty());
        rig.pass(Duration::from_millis(20));
    }
}
