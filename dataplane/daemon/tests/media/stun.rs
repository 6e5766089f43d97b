//! An ICE agent's checks, from the RFCs alone (8489, 8445).

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// A check that nominates, from `username` with the other end's password.
pub(crate) fn check(transaction: [u8; 12], username: &str, password: &[u8]) -> Vec<u8> {
    let mut message = vec![0x00, 0x01, 0, 0];
    message.extend(COOKIE);
    message.extend(transaction);
    attribute(&mut message, 0x0006, username.as_bytes());
    attribute(&mut message, 0x0024, &0x7eff_ffff_u32.to_be_bytes());
    attribute(&mut message, 0x802A, &[7; 8]);
    attribute(&mut message, 0x0025, &[]);
    // Both are computed with a length that includes themselves.
    set_length(&mut message, 24);
    let mut mac = Hmac::<Sha1>::new_from_slice(password).expect("any length");
    mac.update(&message);
    let tag = mac.finalize().into_bytes();
    attribute(&mut message, 0x0008, &tag);
    set_length(&mut message, 8);
    let fingerprint = crc32(&message) ^ 0x5354_554e;
    attribute(&mut message, 0x8028, &fingerprint.to_be_bytes());
    message
}

/// Whether this is the success response to a check.
pub(crate) fn is_success(datagram: &[u8], transaction: [u8; 12]) -> bool {
    datagram.len() >= 20 && datagram[..2] == [0x01, 0x01] && datagram[8..20] == transaction
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    while !message.len().is_multiple_of(4) {
        message.push(0);
    }
    set_length(message, 0);
}

fn set_length(message: &mut [u8], more: usize) {
    let length = (message.len() - 20 + more) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
