//! A room on two workers, joined by a link.

use std::time::{Duration, Instant};

use forebay_ipc::media::{MediaSubscription, RelayedEncoding, SubscriptionMode};
use forebay_ipc::{List, Outcome, Role};

use crate::dataplane::Dataplane;
use crate::describe::{
    PASSWORD, link, select, session, set_session, set_subscription, set_track, subscription, ufrag,
    video,
};
use crate::peer::{Arrival, Peer, Rtp};

const CAMERA: u32 = 77;
const ON_LINK: u32 = 7000;
const SCREEN: u32 = 9000;

/// A VP8 packet: one frame each (RFC 7741 §4.2, §4.3).
fn picture(number: u16, key: bool) -> Rtp {
    let mut payload = vec![0x10, u8::from(!key), 0x02, 0x00];
    if key {
        payload.extend([0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00]);
    }
    payload.extend([number as u8; 600]);
    Rtp {
        payload_type: 96,
        sequence: number,
        ssrc: CAMERA,
        payload,
    }
}

#[test]
fn a_publisher_on_one_worker_reaches_a_subscriber_on_another() {
    let plane = Dataplane::start();
    let mut control = plane.link(Role::Controller, true);
    let snapshot = control.snapshot();
    if snapshot.workers.len() < 2 {
        eprintln!("this host allows one core: nothing to link");
        return;
    }
    let (near, far) = (plane.media_v4(0), plane.media_v4(1));
    let mut camera = Peer::new(near, &ufrag(1), PASSWORD);
    let mut screen = Peer::new(far, &ufrag(2), PASSWORD);
    let published = video(10, 1, CAMERA);
    let relayed = video(11, 4, ON_LINK);
    let over = SubscriptionMode::Relay(List::truncated([RelayedEncoding {
        ssrc: ON_LINK,
        rtx_ssrc: ON_LINK + 1,
        wanted: true,
    }]));
    for wanted in [
        set_session(&session(1, 0, camera.fingerprint)),
        set_session(&session(2, 1, screen.fingerprint)),
        set_session(&link(3, 0, far, 1, 2)),
        set_session(&link(4, 1, near, 2, 1)),
        set_track(&published),
        set_track(&relayed),
        set_subscription(&subscription(20, &published, 3, over)),
    ] {
        assert_eq!(control.command(wanted), Outcome::Done);
    }
    // Not without a link.
    let across = subscription(21, &published, 2, select(SCREEN));
    assert_eq!(control.command(set_subscription(&across)), Outcome::Invalid);
    let shown: MediaSubscription = subscription(21, &relayed, 2, select(SCREEN));
    assert_eq!(control.command(set_subscription(&shown)), Outcome::Done);
    camera.join();
    screen.join();

    // Until a keyframe comes, the far worker asks for one over the link.
    let (pli, mut sent) = ask_for_keyframe(&mut camera);
    assert_eq!(pli[8..12], CAMERA.to_be_bytes());
    let mut wanted = Vec::new();
    let mut send = |camera: &mut Peer, number: u16, key| {
        let picture = picture(number, key);
        camera.send_rtp(&picture, true, u32::from(number) * 3000);
        wanted.push(picture.payload);
    };
    send(&mut camera, sent, true);
    for _ in 0..30 {
        sent += 1;
        send(&mut camera, sent, false);
        std::thread::sleep(Duration::from_millis(3));
    }
    let got = pictures(&mut screen, 31);
    assert_eq!(
        got.iter().map(|rtp| &rtp.payload).collect::<Vec<_>>(),
        wanted.iter().collect::<Vec<_>>()
    );

    // What the subscriber misses comes again, from the far worker.
    let missed = &got[20];
    let mut nack = vec![0x81, 205, 0, 3, 0, 0, 0, 1];
    nack.extend(SCREEN.to_be_bytes());
    nack.extend(missed.sequence.to_be_bytes());
    nack.extend([0, 0]);
    screen.send_feedback(&nack);
    let again = screen.rtp();
    assert_eq!((again.payload_type, again.ssrc), (97, SCREEN + 1));
    assert_eq!(again.payload[..2], missed.sequence.to_be_bytes());
    assert_eq!(again.payload[2..], missed.payload);

    // What the publisher's way lost is asked for there, and arrives late.
    let lost = picture(sent + 1, false);
    for number in sent + 2..sent + 6 {
        camera.send_rtp(&picture(number, false), true, u32::from(number) * 3000);
    }
    let nack = camera.rtcp(205, 1);
    assert_eq!(
        nack[8..14],
        [&CAMERA.to_be_bytes()[..], &(sent + 1).to_be_bytes()].concat()[..]
    );
    camera.send_rtp(&lost, true, u32::from(sent + 1) * 3000);
    let rest = pictures(&mut screen, 5);
    assert!(rest.iter().any(|rtp| rtp.payload == lost.payload));
}

/// The request, and the next free sequence number.
fn ask_for_keyframe(camera: &mut Peer) -> (Vec<u8>, u16) {
    // Delta frames show the far worker that there is something to ask for.
    let end = Instant::now() + Duration::from_secs(10);
    let mut number = 0;
    while Instant::now() < end {
        camera.send_rtp(&picture(number, false), true, u32::from(number) * 3000);
        number += 1;
        if let Some(Arrival::Rtcp(compound)) = camera.receive()
            && let Some(at) = compound.windows(2).position(|two| two == [0x81, 206])
        {
            return (compound[at..at + 12].to_vec(), number);
        }
    }
    panic!("nobody asks for a keyframe");
}

/// The next media packets, retransmissions by their original.
fn pictures(screen: &mut Peer, count: usize) -> Vec<Rtp> {
    let mut got: Vec<Rtp> = Vec::new();
    while got.len() < count {
        let mut rtp = screen.rtp();
        if rtp.ssrc == SCREEN + 1 {
            rtp.payload.drain(..2);
        }
        got.push(rtp);
    }
    got
}
