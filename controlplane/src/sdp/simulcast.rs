//! The encodings of a published section (RFC 8853, RFC 5576).

use forebay_ipc::Text;
use forebay_ipc::limits;
use forebay_ipc::media::Encoding;

use super::attributes::OfferedRid;
use super::description::Section;

/// What a section will send.
pub(super) struct Sending {
    /// Lowest quality first; at least one.
    pub(super) encodings: Vec<Encoding>,
    /// The simulcast's rids in the offer's order; empty when it is none.
    pub(super) rids: Vec<OfferedRid>,
}

/// `by_rid`: whether the extension that carries the rid was negotiated.
pub(super) fn sending(section: &Section, by_rid: bool) -> Sending {
    let rids = if by_rid { offered(section) } else { Vec::new() };
    if !rids.is_empty() {
        let mut ranked: Vec<(u64, &OfferedRid)> = rank(&rids).into_iter().zip(&rids).collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        let encodings = ranked
            .into_iter()
            .map(|(_, rid)| Encoding {
                rid: Text::new(rid.rid.as_str()).ok(),
                ssrc: None,
                rtx_ssrc: None,
            })
            .collect();
        return Sending { encodings, rids };
    }
    let plain = |ssrc: Option<u32>| Encoding {
        rid: None,
        ssrc,
        rtx_ssrc: ssrc.and_then(|ssrc| retransmission(section, ssrc)),
    };
    // Simulcast as it was before rids: the SSRCs in order, lowest first.
    let group = section.groups.iter().find(|g| g.semantics == "SIM");
    let encodings = match group {
        Some(group) if group.ssrcs.len() > 1 => group
            .ssrcs
            .iter()
            .take(limits::ENCODINGS)
            .map(|ssrc| plain(Some(*ssrc)))
            .collect(),
        _ => {
            let paired = section.groups.iter().find(|g| g.semantics == "FID");
            let first = paired
                .and_then(|g| g.ssrcs.first())
                .or(section.ssrcs.first());
            vec![plain(first.copied())]
        }
    };
    Sending {
        encodings,
        rids: Vec::new(),
    }
}

fn retransmission(section: &Section, ssrc: u32) -> Option<u32> {
    section.groups.iter().find_map(|group| {
        match (group.semantics.as_str(), group.ssrcs.as_slice()) {
            ("FID", [media, rtx]) if *media == ssrc => Some(*rtx),
            _ => None,
        }
    })
}

/// The rids of `simulcast:send …`, the first of each list of alternatives.
fn offered(section: &Section) -> Vec<OfferedRid> {
    let Some(value) = &section.simulcast else {
        return Vec::new();
    };
    let mut words = value.split(' ').filter(|word| !word.is_empty());
    let mut streams = "";
    while let (Some(direction), Some(list)) = (words.next(), words.next()) {
        if direction == "send" {
            streams = list;
        }
    }
    let mut rids: Vec<OfferedRid> = Vec::new();
    for stream in streams.split(';') {
        let rid = stream.split(',').next().unwrap_or_default();
        let rid = rid.strip_prefix('~').unwrap_or(rid);
        let Some(known) = section.rids.iter().find(|r| r.sends && r.rid == rid) else {
            continue;
        };
        if rids.len() < limits::ENCODINGS && rids.iter().all(|r| r.rid != rid) {
            rids.push(known.clone());
        }
    }
    rids
}

/// Families of names applications use, lowest quality first.
const NAMES: [&[&str]; 6] = [
    &["q", "h", "f"],
    &["l", "m", "h"],
    &["lo", "mi", "hi"],
    &["low", "mid", "high"],
    &["low", "medium", "high"],
    &["s", "m", "l"],
];

/// The offer names no order of quality. Restrictions tell it, or the names
/// applications use; else it is as listed, which is lowest first where a
/// browser scales by default.
fn rank(rids: &[OfferedRid]) -> Vec<u64> {
    for measure in ["max-width", "max-height", "max-fs", "max-br", "max-pps"] {
        let values: Option<Vec<u64>> = rids.iter().map(|rid| rid.number(measure)).collect();
        if let Some(values) = values {
            return values;
        }
    }
    for family in NAMES {
        let places: Option<Vec<u64>> = rids
            .iter()
            .map(|rid| {
                let name = rid.rid.to_ascii_lowercase();
                let place = family.iter().position(|known| *known == name)?;
                Some(place as u64)
            })
            .collect();
        if let Some(places) = places {
            return places;
        }
    }
    let numbers: Option<Vec<u64>> = rids
        .iter()
        .map(|rid| rid.rid.trim_start_matches(['r', 'R']).parse().ok())
        .collect();
    numbers.unwrap_or_else(|| (0..rids.len() as u64).collect())
}
