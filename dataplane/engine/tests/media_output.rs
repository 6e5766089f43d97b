//! What a forwarder commits leaves in few sends, each one piece where its
//! datagrams lie together.

use std::net::SocketAddr;

use forebay_engine::{Arena, Coalescer, Transmit, TxBatch};
use forebay_media::{Output, Path, SocketId};
use proptest::prelude::*;

fn path(flow: u32) -> Path {
    Path {
        socket: SocketId(2),
        local: "192.0.2.1".parse().expect("an address"),
        remote: SocketAddr::new(
            "198.51.100.7".parse().expect("an address"),
            4000 + flow as u16,
        ),
    }
}

/// Sends `len` bytes of `fill`; false when the batch is full.
fn send(output: &mut impl Output, flow: u32, fill: u8, len: usize) -> bool {
    let Some(room) = output.reserve(len + 16) else {
        return false;
    };
    assert_eq!(room.len(), len + 16);
    room[..len].fill(fill);
    output.commit(flow, &path(flow), len);
    true
}

fn bytes(tx: &TxBatch, transmit: &Transmit) -> Vec<u8> {
    tx.pieces_of(transmit)
        .flat_map(|piece| {
            assert_eq!(piece.arena, Arena::Headers);
            tx.headers[piece.start as usize..][..piece.len as usize].to_vec()
        })
        .collect()
}

fn shape(tx: &TxBatch) -> Vec<(u32, u16, Option<u16>)> {
    assert_eq!(tx.check(0), Ok(()));
    tx.transmits
        .iter()
        .map(|transmit| (transmit.pieces, transmit.datagrams, transmit.segment))
        .collect()
}

#[test]
fn a_frame_to_a_subscriber_is_one_piece_of_one_send() {
    let mut tx = TxBatch::with_capacity(64, 64, 1 << 16);
    let mut coalescer = Coalescer::new(4, 1452);
    let mut output = coalescer.output(&mut tx);
    for flow in 0..3 {
        for packet in 0..7 {
            assert!(send(&mut output, flow, packet, 1200));
        }
        // The last packet of the frame is shorter and closes the send.
        assert!(send(&mut output, flow, 7, 300));
        assert!(send(&mut output, flow, 8, 300));
    }
    let one = [(1, 8, Some(1200)), (1, 1, None)];
    assert_eq!(shape(&tx), [one, one, one].concat());
    let frame = bytes(&tx, &tx.transmits[2]);
    assert_eq!(frame.len(), 7 * 1200 + 300);
    assert!(
        frame
            .chunks(1200)
            .zip(0..)
            .all(|(packet, fill)| packet.iter().all(|byte| *byte == fill))
    );
    assert_eq!(tx.transmits[2].destination, path(1).remote);
    assert_eq!(tx.transmits[2].source, None);
}

#[test]
fn interleaved_flows_still_leave_in_one_send_each() {
    let mut tx = TxBatch::with_capacity(64, 64, 1 << 16);
    let mut coalescer = Coalescer::new(4, 1452);
    let mut output = coalescer.output(&mut tx);
    for packet in 0..4 {
        for flow in 0..2 {
            assert!(send(&mut output, flow, 2 * packet + flow as u8, 100));
        }
    }
    assert_eq!(shape(&tx), [(4, 4, Some(100)), (4, 4, Some(100))]);
    let odd = bytes(&tx, &tx.transmits[1]);
    assert!(
        odd.chunks(100)
            .zip([1, 3, 5, 7])
            .all(|(c, n)| c == [n; 100])
    );
}

#[test]
fn a_new_batch_merges_with_nothing_sent_before() {
    let mut tx = TxBatch::with_capacity(64, 64, 1 << 16);
    let mut coalescer = Coalescer::new(4, 1452);
    assert!(send(&mut coalescer.output(&mut tx), 0, 1, 500));
    // Added to the same batch later, as timers do.
    assert!(send(&mut coalescer.output(&mut tx), 0, 2, 500));
    assert_eq!(shape(&tx), [(1, 2, Some(500))]);
    tx.clear();
    assert!(send(&mut coalescer.output(&mut tx), 0, 3, 500));
    assert_eq!(shape(&tx), [(1, 1, None)]);
    assert_eq!(bytes(&tx, &tx.transmits[0]), [3; 500]);
}

#[test]
fn large_datagrams_travel_alone() {
    let mut tx = TxBatch::with_capacity(64, 64, 1 << 16);
    let mut coalescer = Coalescer::new(1, 1300);
    let mut output = coalescer.output(&mut tx);
    for len in [1300, 1300, 1301, 1301, 1290] {
        assert!(send(&mut output, 0, 0, len));
    }
    let alone = (1, 1, None);
    assert_eq!(shape(&tx), [(1, 2, Some(1300)), alone, alone, alone]);
    tx.clear();
    coalescer.lower_max_segment(1290);
    let mut output = coalescer.output(&mut tx);
    for len in [1290, 1290, 1289, 1289] {
        assert!(send(&mut output, 0, 0, len));
    }
    assert_eq!(shape(&tx), [alone, alone, (1, 2, Some(1289))]);
}

#[test]
fn a_full_batch_refuses_and_never_grows() {
    for (transmits, pieces, headers, fit) in [(2, 8, 4096, 2), (8, 3, 4096, 3), (8, 8, 350, 3)] {
        let mut tx = TxBatch::with_capacity(transmits, pieces, headers);
        let mut coalescer = Coalescer::new(8, 1452);
        let mut output = coalescer.output(&mut tx);
        let taken = (0..8)
            .take_while(|flow| send(&mut output, *flow, 0, 100))
            .count();
        assert_eq!(taken, fit);
        assert!(output.reserve(1501).is_none());
        assert_eq!(shape(&tx).len(), fit);
        let capacities = (
            tx.transmits.capacity(),
            tx.pieces.capacity(),
            tx.headers.capacity(),
        );
        assert_eq!(capacities, (transmits, pieces, headers));
    }
}

proptest! {
    #[test]
    fn every_flow_gets_its_bytes_in_order(
        sends in proptest::collection::vec((0..4_u32, 1..1485_usize, any::<bool>()), 0..300),
    ) {
        let mut tx = TxBatch::with_capacity(512, 512, 1 << 19);
        let mut coalescer = Coalescer::new(4, 1400);
        let mut output = coalescer.output(&mut tx);
        let mut expected = vec![Vec::new(); 4];
        for (number, (flow, len, even)) in sends.into_iter().enumerate() {
            let len = if even { 1000 } else { len };
            prop_assert!(send(&mut output, flow, number as u8, len));
            expected[flow as usize].push(vec![number as u8; len]);
        }
        prop_assert_eq!(tx.check(0), Ok(()));
        let mut arrived = vec![Vec::new(); 4];
        for transmit in &tx.transmits {
            let flow = usize::from(transmit.destination.port()) - 4000;
            let whole = bytes(&tx, transmit);
            let segment = transmit.segment.map_or(whole.len(), usize::from);
            arrived[flow].extend(whole.chunks(segment).map(<[u8]>::to_vec));
        }
        prop_assert_eq!(arrived, expected);
    }
}
