//! The dependency descriptor.

use forebay_media::codec::dependency::{Descriptor, Indication, Structure as Known};
use proptest::prelude::*;

use crate::bits::{Extended, Structure, Template, descriptor};

fn template(spatial: u8, temporal: u8, indications: &str, differences: &[u8]) -> Template {
    Template {
        spatial,
        temporal,
        indications: indications.to_owned(),
        differences: differences.to_vec(),
        chains: vec![1],
    }
}

/// One spatial and three temporal layers, of which the higher ones need lower
/// ones alone; template ids begin at 5.
pub(crate) fn l1t3() -> Structure {
    Structure {
        offset: 5,
        templates: vec![
            template(0, 0, "SSS", &[]),
            template(0, 0, "SSS", &[4]),
            template(0, 1, "-DS", &[2]),
            template(0, 2, "--D", &[1]),
            template(0, 2, "--D", &[1]),
        ],
        protected_by: vec![0, 0, 0],
        resolutions: vec![(1280, 720)],
    }
}

/// Two spatial layers of two temporal ones each, the higher temporal one
/// needing itself; template ids wrap at 64.
fn l2t2() -> Structure {
    Structure {
        offset: 62,
        templates: vec![
            template(0, 0, "SSSS", &[]),
            template(0, 0, "SSRR", &[4]),
            template(0, 1, "-R-R", &[2]),
            template(0, 1, "-S-R", &[2]),
            template(1, 0, "--SS", &[1]),
            template(1, 1, "---D", &[1, 4]),
        ],
        protected_by: vec![0, 0, 0, 0],
        resolutions: vec![(640, 360), (1280, 720)],
    }
}

fn attach(structure: &Structure) -> (Known, Descriptor) {
    let extended = Extended {
        structure: Some(structure.clone()),
        ..Extended::default()
    };
    let bytes = descriptor(
        true,
        true,
        structure.offset,
        7,
        Some((&extended, structure.targets())),
    );
    let mut known = Known::default();
    let read = Descriptor::read(&bytes, &mut known).expect("a whole descriptor");
    (known, read)
}

#[test]
fn a_structure_tells_layers() {
    let (known, key) = attach(&l2t2());
    assert!(key.frame.keyframe && key.frame.start && key.frame.end && key.frame.switch_up);
    assert_eq!(key.frame_number, 7);
    assert_eq!(key.active_targets, None);
    assert_eq!(known.targets(), 4);
    let layers: Vec<_> = (0..5).map_while(|target| known.layers(target)).collect();
    assert_eq!(layers, [(0, 0), (0, 1), (1, 0), (1, 1)]);
    assert_eq!(known.targets_within(0, 1), 0b0011);
    assert_eq!(known.targets_within(1, 0), 0b0101);
    assert_eq!(known.targets_within(3, 7), 0b1111);
    assert_eq!(known.layers(4), None);
}

#[test]
fn templates_tell_of_frames() {
    let frames = |structure: Structure| {
        let (mut known, _) = attach(&structure);
        (0..structure.templates.len() as u8)
            .map(|index| {
                let id = (structure.offset + index) % 64;
                let bytes = descriptor(true, false, id, 1, None);
                let frame = Descriptor::read(&bytes, &mut known).unwrap().frame;
                assert!(frame.start && !frame.end && !frame.keyframe);
                (
                    frame.spatial,
                    frame.temporal,
                    frame.switch_up,
                    frame.discardable,
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        frames(l1t3()),
        [
            (0, 0, true, false),
            (0, 0, true, false),
            // No frame of the layer is needed by another one of it.
            (0, 1, true, false),
            (0, 2, true, true),
            (0, 2, true, true),
        ]
    );
    assert_eq!(
        frames(l2t2()),
        [
            (0, 0, true, false),
            (0, 0, true, false),
            // Others of the layer need it, and one that joins lacks those
            // before it.
            (0, 1, false, false),
            (0, 1, true, false),
            (1, 0, true, false),
            // Needed by none, but the layer below is not of that kind.
            (1, 1, false, true),
        ]
    );
}

#[test]
fn own_fields_replace_those_of_the_template() {
    let (mut known, _) = attach(&l1t3());
    let extended = Extended {
        active: Some(0b011),
        indications: Some("--R".to_owned()),
        differences: Some(vec![1, 17, 4096]),
        chains: Some(vec![200]),
        ..Extended::default()
    };
    let bytes = descriptor(true, true, 8, 0xABCD, Some((&extended, 3)));
    let read = Descriptor::read(&bytes, &mut known).unwrap();
    assert_eq!(read.frame_number, 0xABCD);
    assert_eq!(Descriptor::frame_number(&bytes), Some(0xABCD));
    assert_eq!(read.active_targets, Some(0b011));
    assert_eq!(read.indication(0), Indication::Absent);
    assert_eq!(read.indication(2), Indication::Required);
    assert_eq!((read.frame.temporal, read.frame.discardable), (2, false));
    assert!(!read.frame.switch_up);
    for len in 0..bytes.len() {
        let cut = Descriptor::read(&bytes[..len], &mut known);
        // Three bytes are a whole descriptor without extended fields.
        assert_eq!(cut.is_some(), len == 3, "{len}");
    }
}

#[test]
fn what_cannot_be_understood_changes_nothing() {
    let mut known = Known::default();
    assert!(known.is_empty());
    assert_eq!(Descriptor::read(&[0xC0, 0, 1], &mut known), None);
    let (before, _) = attach(&l1t3());
    known = before;
    // A template the structure does not have.
    let unknown = descriptor(true, true, 10, 1, None);
    assert_eq!(Descriptor::read(&unknown, &mut known), None);
    // An attached structure of five spatial layers, or one that is cut off.
    let mut high = l1t3();
    for (index, template) in (0..).zip(&mut high.templates) {
        (template.spatial, template.temporal) = (index, 0);
    }
    let extended = |structure| Extended {
        structure: Some(structure),
        ..Extended::default()
    };
    let bytes = descriptor(true, true, 5, 1, Some((&extended(high), 3)));
    assert_eq!(Descriptor::read(&bytes, &mut known), None);
    let bytes = descriptor(true, true, 5, 1, Some((&extended(l2t2()), 4)));
    for len in 0..bytes.len() {
        if len != 3 {
            assert_eq!(Descriptor::read(&bytes[..len], &mut known), None);
        }
    }
    assert_eq!(known, before);
}

#[test]
fn the_mask_of_active_targets_is_written_over_or_inserted() {
    let structure = l2t2();
    let (known, _) = attach(&structure);
    let attached = Extended {
        structure: Some(structure.clone()),
        ..Extended::default()
    };
    let both = Extended {
        active: Some(0b1111),
        indications: Some("SRD-".to_owned()),
        chains: Some(vec![9]),
        ..attached.clone()
    };
    let variants = [
        descriptor(true, false, 62, 500, None),
        descriptor(true, false, 62, 500, Some((&Extended::default(), 4))),
        descriptor(true, false, 62, 500, Some((&attached, 4))),
        descriptor(true, false, 62, 500, Some((&both, 4))),
    ];
    for bytes in variants {
        let before = Descriptor::read(&bytes, &mut known.clone()).unwrap();
        let mut room = [0xEE; 128];
        let len = before
            .write_active_targets(&bytes, &known, 0b0011, &mut room)
            .unwrap();
        assert!(len <= bytes.len() + 5);
        let mut again = known;
        let after = Descriptor::read(&room[..len], &mut again).unwrap();
        assert_eq!(after.active_targets, Some(0b0011));
        assert_eq!(after.frame, before.frame);
        assert_eq!(after.frame_number, before.frame_number);
        for target in 0..4 {
            assert_eq!(after.indication(target), before.indication(target));
        }
        assert_eq!(again, known);
        let short = &mut room[..len - 1];
        assert_eq!(before.write_active_targets(&bytes, &known, 3, short), None);
    }
}

fn structures() -> impl Strategy<Value = Structure> {
    (1_usize..=32, 0_usize..=4, 0_u8..64, any::<bool>()).prop_flat_map(
        |(targets, chains, offset, sized)| {
            let chains = chains.min(targets);
            let one = (
                0_u8..3,
                prop::collection::vec(prop::sample::select(vec!['-', 'D', 'S', 'R']), targets),
                prop::collection::vec(1_u8..=16, 0..4),
                prop::collection::vec(0_u8..16, chains),
            );
            let protected = prop::collection::vec(0..chains.max(1) as u8, targets);
            (prop::collection::vec(one, 1..=64), protected).prop_map(
                move |(steps, protected_by)| {
                    let (mut spatial, mut temporal) = (0, 0);
                    let mut templates = Vec::new();
                    for (index, (step, indications, differences, chains)) in
                        steps.into_iter().enumerate()
                    {
                        match step {
                            1 if index > 0 && temporal < 7 => temporal += 1,
                            2 if index > 0 && spatial < 3 => (spatial, temporal) = (spatial + 1, 0),
                            _ => {}
                        }
                        templates.push(Template {
                            spatial,
                            temporal,
                            indications: indications.into_iter().collect(),
                            differences,
                            chains,
                        });
                    }
                    let resolutions = match sized {
                        true => vec![(320, 180); usize::from(spatial) + 1],
                        false => Vec::new(),
                    };
                    Structure {
                        offset,
                        templates,
                        protected_by,
                        resolutions,
                    }
                },
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_structure_is_read(structure in structures(), mask in any::<u32>()) {
        let targets = structure.targets();
        let (mut known, key) = attach(&structure);
        prop_assert!(key.frame.keyframe);
        prop_assert_eq!(u32::from(known.targets()), targets);
        for (index, template) in (0..).zip(&structure.templates) {
            let id = structure.offset.wrapping_add(index) % 64;
            let chains = vec![7; structure.chains() as usize];
            let extended = Extended {
                active: Some(mask & ((1_u64 << targets) - 1) as u32),
                chains: Some(chains),
                ..Extended::default()
            };
            let bytes = descriptor(true, true, id, 1, Some((&extended, targets)));
            let read = Descriptor::read(&bytes, &mut known).unwrap();
            prop_assert_eq!(read.frame.spatial, template.spatial);
            prop_assert_eq!(read.frame.temporal, template.temporal);
            prop_assert_eq!(read.active_targets, extended.active);
            for (target, letter) in (0..).zip(template.indications.chars()) {
                let expected = match letter {
                    '-' => Indication::Absent,
                    'D' => Indication::Discardable,
                    'S' => Indication::Switch,
                    _ => Indication::Required,
                };
                prop_assert_eq!(read.indication(target), expected);
            }
            let mut room = [0xEE; 64];
            let len = read.write_active_targets(&bytes, &known, 0, &mut room).unwrap();
            prop_assert_eq!(len, bytes.len());
            let again = Descriptor::read(&room[..len], &mut known).unwrap();
            prop_assert_eq!(again.active_targets, Some(0));
            prop_assert_eq!(again.frame, read.frame);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        attach_known in any::<bool>(),
        bytes in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut known = if attach_known { attach(&l2t2()).0 } else { Known::default() };
        if let Some(read) = Descriptor::read(&bytes, &mut known) {
            prop_assert!(known.targets() > 0);
            prop_assert!(read.frame.spatial <= 3 && read.frame.temporal <= 7);
            let mut room = [0; 160];
            let len = read.write_active_targets(&bytes, &known, 1, &mut room).unwrap();
            let again = Descriptor::read(&room[..len], &mut known).unwrap();
            prop_assert_eq!(again.active_targets, Some(1));
            prop_assert_eq!(again.frame, read.frame);
        }
    }
}
