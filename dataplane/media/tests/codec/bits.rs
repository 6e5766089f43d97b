//! Writing bit fields, and dependency descriptors as a sender does.

#[derive(Default)]
pub(crate) struct Bits {
    bits: Vec<bool>,
}

impl Bits {
    pub(crate) fn put(&mut self, value: u32, count: u32) -> &mut Self {
        self.bits
            .extend((0..count).rev().map(|shift| value >> shift & 1 != 0));
        self
    }

    /// ns(n): the shorter codes go to the smaller values.
    pub(crate) fn put_below(&mut self, value: u32, limit: u32) -> &mut Self {
        let mut width = 0;
        while 1 << width < limit {
            width += 1;
        }
        let short = (1 << width) - limit;
        if value < short {
            self.put(value, width - 1)
        } else {
            self.put(value + short, width)
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            (0..8).fold(0, |byte, i| {
                byte << 1 | u8::from(bits.get(i) == Some(&true))
            })
        };
        self.bits.chunks(8).map(byte).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.bits.len()
    }
}

/// A template of a structure.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    /// One letter per decode target: `-`, `D`, `S` or `R`.
    pub(crate) indications: String,
    /// 1–16.
    pub(crate) differences: Vec<u8>,
    /// 0–15, one per chain.
    pub(crate) chains: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(crate) struct Structure {
    pub(crate) offset: u8,
    pub(crate) templates: Vec<Template>,
    /// Which chain protects each decode target; empty without chains.
    pub(crate) protected_by: Vec<u8>,
    pub(crate) resolutions: Vec<(u16, u16)>,
}

/// The extended fields of a descriptor.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extended {
    pub(crate) structure: Option<Structure>,
    pub(crate) active: Option<u32>,
    pub(crate) indications: Option<String>,
    /// 1–4096.
    pub(crate) differences: Option<Vec<u16>>,
    pub(crate) chains: Option<Vec<u8>>,
}

fn letter(indication: char) -> u32 {
    "-DSR".find(indication).expect("one of the four") as u32
}

impl Structure {
    pub(crate) fn targets(&self) -> u32 {
        self.templates[0].indications.len() as u32
    }

    pub(crate) fn chains(&self) -> u32 {
        self.templates[0].chains.len() as u32
    }

    fn put(&self, bits: &mut Bits) {
        bits.put(self.offset.into(), 6).put(self.targets() - 1, 5);
        for pair in self.templates.windows(2) {
            let next = if pair[1].spatial > pair[0].spatial {
                2
            } else {
                u32::from(pair[1].temporal > pair[0].temporal)
            };
            bits.put(next, 2);
        }
        bits.put(3, 2);
        for template in &self.templates {
            for indication in template.indications.chars() {
                bits.put(letter(indication), 2);
            }
        }
        for template in &self.templates {
            for difference in &template.differences {
                bits.put(1, 1).put(u32::from(*difference) - 1, 4);
            }
            bits.put(0, 1);
        }
        bits.put_below(self.chains(), self.targets() + 1);
        if self.chains() > 0 {
            for chain in &self.protected_by {
                bits.put_below((*chain).into(), self.chains());
            }
            for difference in self.templates.iter().flat_map(|template| &template.chains) {
                bits.put((*difference).into(), 4);
            }
        }
        bits.put(u32::from(!self.resolutions.is_empty()), 1);
        for (width, height) in &self.resolutions {
            bits.put(u32::from(width - 1), 16)
                .put(u32::from(height - 1), 16);
        }
    }
}

/// A descriptor; `targets` is the count of decode targets of its structure.
pub(crate) fn descriptor(
    start: bool,
    end: bool,
    template: u8,
    number: u16,
    extended: Option<(&Extended, u32)>,
) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(start.into(), 1).put(end.into(), 1);
    bits.put(template.into(), 6).put(number.into(), 16);
    let Some((extended, targets)) = extended else {
        return bits.bytes();
    };
    bits.put(extended.structure.is_some().into(), 1)
        .put(extended.active.is_some().into(), 1)
        .put(extended.indications.is_some().into(), 1)
        .put(extended.differences.is_some().into(), 1)
        .put(extended.chains.is_some().into(), 1);
    if let Some(structure) = &extended.structure {
        structure.put(&mut bits);
    }
    if let Some(active) = extended.active {
        bits.put(active, targets);
    }
    for indication in extended.indications.iter().flat_map(|all| all.chars()) {
        bits.put(letter(indication), 2);
    }
    if let Some(differences) = &extended.differences {
        for difference in differences {
            let size = match difference {
                1..=16 => 1,
                17..=256 => 2,
                _ => 3,
            };
            bits.put(size, 2).put(u32::from(*difference) - 1, size * 4);
        }
        bits.put(0, 2);
    }
    for chain in extended.chains.iter().flatten() {
        bits.put((*chain).into(), 8);
    }
    if bits.len() <= 24 {
        bits.put(0, 8);
    }
    bits.bytes()
}
