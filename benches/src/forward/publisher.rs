//! Protected packets of one stream, a frame at a time.

use std::net::UdpSocket;
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};
use forebay_media::srtp::{Keys, Outbound};
use nix::sys::socket::{setsockopt, sockopt};

/// What a publisher sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Bytes of each datagram.
    pub datagram: usize,
    /// Datagrams of one frame.
    pub burst: usize,
    /// Pictures (VP8), or sound.
    pub video: bool,
}

/// RTP header without extensions.
const HEADER: usize = 12;
/// Frames between two keyframes.
const KEYFRAME_EVERY: u32 = 300;
/// The first frames are all keyframes, so that subscribers begin at once.
const FIRST_KEYFRAMES: u32 = 50;

/// One stream on its connection.
pub struct Publisher {
    socket: UdpSocket,
    outbound: Outbound,
    tag: usize,
    stream: Stream,
    ssrc: u32,
    payload_type: u8,
    index: u64,
    timestamp: u32,
    frame: u32,
    bytes: Vec<u8>,
}

impl Publisher {
    /// A stream under `ssrc` over a connection that is up.
    ///
    /// # Errors
    /// When the kernel cannot segment UDP sends.
    pub fn new(
        socket: UdpSocket,
        keys: &Keys,
        stream: Stream,
        ssrc: u32,
        payload_type: u8,
    ) -> Result<Self> {
        setsockopt(
            &socket.as_fd(),
            sockopt::UdpGsoSegment,
            &i32::try_from(stream.datagram)?,
        )
        .context("the kernel lacks UDP segmentation")?;
        let tag = if keys.profile == forebay_media::srtp::Profile::AesCm128HmacSha1_80 {
            10
        } else {
            16
        };
        Ok(Self {
            socket,
            outbound: Outbound::new(keys),
            tag,
            stream,
            ssrc,
            payload_type,
            index: 1000,
            timestamp: 0,
            frame: 0,
            bytes: vec![0; stream.datagram * stream.burst + Outbound::RTP_OVERHEAD],
        })
    }

    /// Sends the next frame in one call. False when the kernel has no room.
    ///
    /// # Errors
    /// When a packet cannot be protected.
    pub fn send(&mut self) -> Result<bool> {
        let key = self.frame < FIRST_KEYFRAMES || self.frame.is_multiple_of(KEYFRAME_EVERY);
        for place in 0..self.stream.burst {
            let at = place * self.stream.datagram;
            let buffer = &mut self.bytes[at..];
            let last = place + 1 == self.stream.burst;
            let marker = if last && self.stream.video { 0x80 } else { 0 };
            buffer[0] = 0x80;
            buffer[1] = self.payload_type | marker;
            buffer[2..4].copy_from_slice(&(self.index as u16).to_be_bytes());
            buffer[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
            buffer[8..HEADER].copy_from_slice(&self.ssrc.to_be_bytes());
            let length = self.stream.datagram - self.tag;
            buffer[HEADER..length].fill(0x5a);
            if self.stream.video {
                // RFC 7741: extended control bits, 15-bit picture id; the
                // first packet begins partition 0 with the frame's tag.
                let picture = (self.frame & 0x7fff) as u16 | 0x8000;
                buffer[HEADER] = if place == 0 { 0x90 } else { 0x80 };
                buffer[HEADER + 1] = 0x80;
                buffer[HEADER + 2..HEADER + 4].copy_from_slice(&picture.to_be_bytes());
                if place == 0 {
                    buffer[HEADER + 4] = u8::from(!key);
                }
            }
            self.outbound
                .protect_rtp(buffer, HEADER, length, self.index)
                .map_err(|error| anyhow::anyhow!("{error:?}"))?;
            self.index += 1;
        }
        self.frame += 1;
        self.timestamp = self
            .timestamp
            .wrapping_add(if self.stream.video { 3000 } else { 960 });
        let length = self.stream.datagram * self.stream.burst;
        Ok(self.socket.send(&self.bytes[..length]).is_ok())
    }
}
