//! What is measured of a wound: whole numbers, with the unit in the name.

use serde::{Deserialize, Serialize};

use crate::value::coded;

coded! {
    /// Who drew the wound's boundary.
    Boundary {
        /// The segmentation network.
        Network = "network",
        /// A person.
        Outline = "outline",
    }
}

coded! {
    /// Along which axis length and width are measured.
    Axis {
        /// Length is the greatest extent head to toe, width the greatest across it.
        HeadToToe = "head-to-toe",
        /// Length is the greatest extent in the image, width the greatest across it.
        Image = "image",
    }
}

/// Why a measurement was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeasurementError {
    /// No wound.
    #[error("the area is zero: reject the scan instead of measuring nothing")]
    NoArea,
    /// Larger than a person.
    #[error("{field} is out of range: at most {max} is possible")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// The limit, in the field's unit.
        max: u64,
    },
    /// Tissue that does not sum to the whole.
    #[error("the tissue shares do not sum to 1000 permille")]
    TissueSum,
    /// Too few or too many points.
    #[error("the outline must have 3 to {max} points, or none")]
    Outline {
        /// The limit.
        max: usize,
    },
}

/// The shares of a wound's tissue, in permille of its area. Those that are classified sum to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TissuePermille {
    /// Granulation tissue.
    pub granulation: u16,
    /// Slough, fibrin.
    pub slough: u16,
    /// Necrosis, eschar; none if the model cannot tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub necrosis: Option<u16>,
    /// Epithelium; none if the model cannot tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epithelium: Option<u16>,
    /// The standard deviation of each share, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sd: Option<u16>,
}

impl TissuePermille {
    fn is_whole(&self) -> bool {
        let shares = [Some(self.granulation), Some(self.slough), self.necrosis, self.epithelium];
        shares.into_iter().flatten().map(u32::from).sum::<u32>() == 1000
    }
}

/// A measurement of a wound: read through `Deref`, made by `Measurement::try_from(MeasurementParts)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "MeasurementParts", into = "MeasurementParts")]
pub struct Measurement(MeasurementParts);

/// The parts of a [`Measurement`]. `_sd` is one standard deviation of the field before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MeasurementParts {
    /// Area of the surface inside the boundary, in square micrometres.
    pub area_um2: u64,
    /// Its standard deviation.
    pub area_sd_um2: u64,
    /// Length of the boundary on the surface, in micrometres.
    pub perimeter_um: u32,
    /// Its standard deviation.
    pub perimeter_sd_um: u32,
    /// Greatest extent along the axis, in micrometres.
    pub length_um: u32,
    /// Its standard deviation.
    pub length_sd_um: u32,
    /// Greatest extent across the axis, in micrometres.
    pub width_um: u32,
    /// Its standard deviation.
    pub width_sd_um: u32,
    /// Robust greatest depth below the fitted skin, in micrometres.
    pub max_depth_um: u32,
    /// Its standard deviation.
    pub max_depth_sd_um: u32,
    /// Volume between the fitted skin and the wound bed, in nanolitres (thousandths of a cubic millimetre).
    pub volume_nl: u64,
    /// Its standard deviation.
    pub volume_sd_nl: u64,
    /// Who drew the boundary.
    pub boundary: Boundary,
    /// The network's mean probability of wound inside the boundary, in permille.
    pub wound_probability_permille: u16,
    /// The axis of length and width.
    pub axis: Axis,
    /// The shares of tissue, if it was classified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tissue: Option<TissuePermille>,
    /// The boundary in pixels of the colour image, `[x, y]`, closed from the last point to the first.
    /// Empty for a surface without an image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outline: Vec<[u16; 2]>,
}

#[cfg(feature = "schema")]
crate::schema::made_of!(Measurement(MeasurementParts));

impl Measurement {
    /// The most points of an outline.
    pub const MAX_OUTLINE_POINTS: usize = 512;
    /// The greatest area: two square metres, about a person's skin.
    pub const MAX_AREA_UM2: u64 = 2_000_000_000_000;
    /// The greatest length of anything: ten metres, for a ragged perimeter.
    pub const MAX_LENGTH_UM: u32 = 10_000_000;
    /// The greatest volume: ten litres.
    pub const MAX_VOLUME_NL: u64 = 10_000_000_000;

    fn check(parts: &MeasurementParts) -> Result<(), MeasurementError> {
        if parts.area_um2 == 0 {
            return Err(MeasurementError::NoArea);
        }
        let length = u64::from(Self::MAX_LENGTH_UM);
        for (field, value, max) in [
            ("area_um2", parts.area_um2, Self::MAX_AREA_UM2),
            ("area_sd_um2", parts.area_sd_um2, Self::MAX_AREA_UM2),
            ("perimeter_um", parts.perimeter_um.into(), length),
            ("perimeter_sd_um", parts.perimeter_sd_um.into(), length),
            ("length_um", parts.length_um.into(), length),
            ("length_sd_um", parts.length_sd_um.into(), length),
            ("width_um", parts.width_um.into(), length),
            ("width_sd_um", parts.width_sd_um.into(), length),
            ("max_depth_um", parts.max_depth_um.into(), length),
            ("max_depth_sd_um", parts.max_depth_sd_um.into(), length),
            ("volume_nl", parts.volume_nl, Self::MAX_VOLUME_NL),
            ("volume_sd_nl", parts.volume_sd_nl, Self::MAX_VOLUME_NL),
            ("wound_probability_permille", parts.wound_probability_permille.into(), 1000),
        ] {
            if value > max {
                return Err(MeasurementError::OutOfRange { field, max });
            }
        }
        if parts.tissue.is_some_and(|tissue| !tissue.is_whole()) {
            return Err(MeasurementError::TissueSum);
        }
        if parts.tissue.and_then(|tissue| tissue.sd).is_some_and(|sd| sd > 1000) {
            return Err(MeasurementError::OutOfRange { field: "tissue.sd", max: 1000 });
        }
        if !parts.outline.is_empty()
            && !(3..=Self::MAX_OUTLINE_POINTS).contains(&parts.outline.len())
        {
            return Err(MeasurementError::Outline { max: Self::MAX_OUTLINE_POINTS });
        }
        Ok(())
    }

    /// The area in square centimetres, for people.
    pub fn area_cm2(&self) -> f64 {
        self.0.area_um2 as f64 / 1e8
    }

    /// The perimeter in centimetres, for people.
    pub fn perimeter_cm(&self) -> f64 {
        f64::from(self.0.perimeter_um) / 1e4
    }

    /// The length in centimetres, for people.
    pub fn length_cm(&self) -> f64 {
        f64::from(self.0.length_um) / 1e4
    }

    /// The width in centimetres, for people.
    pub fn width_cm(&self) -> f64 {
        f64::from(self.0.width_um) / 1e4
    }

    /// The greatest depth in centimetres, for people.
    pub fn max_depth_cm(&self) -> f64 {
        f64::from(self.0.max_depth_um) / 1e4
    }

    /// The volume in cubic centimetres, for people.
    pub fn volume_cm3(&self) -> f64 {
        self.0.volume_nl as f64 / 1e6
    }
}

impl TryFrom<MeasurementParts> for Measurement {
    type Error = MeasurementError;

    fn try_from(parts: MeasurementParts) -> Result<Self, MeasurementError> {
        Self::check(&parts)?;
        Ok(Self(parts))
    }
}

impl From<Measurement> for MeasurementParts {
    fn from(measurement: Measurement) -> Self {
        measurement.0
    }
}

impl std::ops::Deref for Measurement {
    type Target = MeasurementParts;

    fn deref(&self) -> &MeasurementParts {
        &self.0
    }
}
