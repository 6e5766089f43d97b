//! Template structures: what is told once, with a keyframe.

use super::bits::Reader;

const MAX_TEMPLATES: usize = 64;
const MAX_TARGETS: usize = 32;
const MAX_SPATIAL: u8 = 3;
const MAX_TEMPORAL: u8 = 7;

/// How a frame matters to a decode target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indication {
    /// It is not part of it.
    Absent,
    /// It is part, and no other frame of it needs this one.
    Discardable,
    /// It is part, and one that can decode it can decode all that follow.
    Switch,
    /// It is part, and others need it.
    Required,
}

impl Indication {
    pub(super) const fn of(all: u64, target: u8) -> Self {
        match all >> ((target & 31) * 2) & 3 {
            0 => Self::Absent,
            1 => Self::Discardable,
            2 => Self::Switch,
            _ => Self::Required,
        }
    }
}

/// A combination of layers that one may decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Target {
    spatial: u8,
    temporal: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Template {
    pub(super) indications: u64,
    pub(super) spatial: u8,
    pub(super) temporal: u8,
    pub(super) switch_up: bool,
    pub(super) discardable: bool,
}

/// The structure that a stream's descriptors refer to. Plain memory of fixed
/// size, about 1.1 KiB; begins empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Structure {
    offset: u8,
    templates: u8,
    targets: u8,
    chains: u8,
    /// Temporal layers, one bit each, whose frames no other frame of the same
    /// or a lower layer needs: one may begin with them anywhere.
    loose: u8,
    layers: [Target; MAX_TARGETS],
    all: [Template; MAX_TEMPLATES],
}

impl Default for Structure {
    fn default() -> Self {
        Self {
            offset: 0,
            templates: 0,
            targets: 0,
            chains: 0,
            loose: 0,
            layers: [Target::default(); MAX_TARGETS],
            all: [Template::default(); MAX_TEMPLATES],
        }
    }
}

impl Structure {
    /// None was seen yet.
    pub const fn is_empty(&self) -> bool {
        self.templates == 0
    }

    /// Decode targets, 1–32; 0 while empty.
    pub const fn targets(&self) -> u8 {
        self.targets
    }

    pub(super) const fn chains(&self) -> u8 {
        self.chains
    }

    /// Highest spatial and temporal layer of a decode target.
    pub fn layers(&self, target: u8) -> Option<(u8, u8)> {
        let known = self.layers.get(..usize::from(self.targets))?;
        let target = known.get(usize::from(target))?;
        Some((target.spatial, target.temporal))
    }

    /// The decode targets that need no layer above these, one bit each.
    pub fn targets_within(&self, spatial: u8, temporal: u8) -> u32 {
        let known = self.layers.iter().take(usize::from(self.targets));
        known.enumerate().fold(0, |mask, (index, target)| {
            let within = target.spatial <= spatial && target.temporal <= temporal;
            mask | u32::from(within) << index
        })
    }

    /// The template of a frame's template id.
    #[inline]
    pub(super) fn template(&self, id: u8) -> Option<&Template> {
        let index = id.wrapping_sub(self.offset) & 63;
        self.all
            .get(..usize::from(self.templates))?
            .get(usize::from(index))
    }

    #[cold]
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut this = Self {
            offset: reader.take(6)? as u8,
            targets: reader.take(5)? as u8 + 1,
            ..Self::default()
        };
        let spatial_layers = this.read_layers(reader)?;
        let known = usize::from(this.templates);
        for template in this.all.iter_mut().take(known) {
            template.indications = read_indications(reader, this.targets)?;
        }
        for _ in 0..known {
            // Differences of frame numbers: which frames it needs.
            while reader.flag()? {
                reader.take(4)?;
            }
        }
        this.chains = reader.below(u32::from(this.targets) + 1)? as u8;
        if this.chains > 0 {
            for _ in 0..this.targets {
                reader.below(u32::from(this.chains))?;
            }
            for _ in 0..known * usize::from(this.chains) {
                reader.take(4)?;
            }
        }
        if reader.flag()? {
            for _ in 0..spatial_layers {
                // Width and height.
                reader.take(32)?;
            }
        }
        this.derive();
        Some(this)
    }

    /// Reads the layers of each template; returns the count of spatial layers.
    fn read_layers(&mut self, reader: &mut Reader<'_>) -> Option<u8> {
        let (mut spatial, mut temporal) = (0, 0);
        loop {
            let template = self.all.get_mut(usize::from(self.templates))?;
            template.spatial = spatial;
            template.temporal = temporal;
            self.templates += 1;
            match reader.take(2)? {
                0 => {}
                1 => temporal += 1,
                2 => {
                    spatial += 1;
                    temporal = 0;
                }
                _ => return Some(spatial + 1),
            }
            if spatial > MAX_SPATIAL || temporal > MAX_TEMPORAL {
                return None;
            }
        }
    }

    /// What follows from the templates: a decode target has the layers of the
    /// frames that are part of it.
    fn derive(&mut self) {
        let known = usize::from(self.templates);
        let targets = self.layers.iter_mut().take(usize::from(self.targets));
        for (index, target) in (0..).zip(targets) {
            for template in self.all.iter().take(known) {
                if Indication::of(template.indications, index) != Indication::Absent {
                    target.spatial = target.spatial.max(template.spatial);
                    target.temporal = target.temporal.max(template.temporal);
                }
            }
        }
        self.loose = u8::MAX;
        for index in 0..known {
            let template = self.all[index];
            let own = self.own_target(&template);
            if own.is_none_or(|own| own != Indication::Discardable) {
                self.loose &= !(1 << template.temporal);
            }
        }
        for index in 0..known {
            let template = self.all[index];
            (self.all[index].switch_up, self.all[index].discardable) = self.judge(&template);
        }
    }

    /// How a frame matters to the decode target of just its layers.
    fn own_target(&self, template: &Template) -> Option<Indication> {
        let own = Target {
            spatial: template.spatial,
            temporal: template.temporal,
        };
        let known = self.layers.get(..usize::from(self.targets))?;
        let index = known.iter().position(|target| *target == own)?;
        Some(Indication::of(template.indications, index as u8))
    }

    /// Whether one may begin with the temporal layer at a frame like this, and
    /// whether no frame of any decode target needs it.
    pub(super) fn judge(&self, template: &Template) -> (bool, bool) {
        let own = self.own_target(template);
        let loose = self.loose >> template.temporal & 1 != 0;
        let switch_up = match own {
            Some(Indication::Switch) => true,
            Some(Indication::Discardable) => loose,
            _ => false,
        };
        let needed = (0..self.targets)
            .map(|target| Indication::of(template.indications, target))
            .any(|indication| matches!(indication, Indication::Switch | Indication::Required));
        (switch_up, !needed)
    }
}

/// Two bits for each decode target, the first one lowest.
pub(super) fn read_indications(reader: &mut Reader<'_>, targets: u8) -> Option<u64> {
    (0..targets).try_fold(0, |all, target| {
        Some(all | u64::from(reader.take(2)?) << (target * 2))
    })
}
