//! The codes wound measures are exchanged under.
//!
//! LOINC 39126-8 is a wound's *length*. Public code often uses it for the area, which is 89260-4; a test
//! pins this table.

/// The LOINC system.
pub const LOINC: &str = "http://loinc.org";
/// The SNOMED CT system.
pub const SNOMED_CT: &str = "http://snomed.info/sct";

/// LOINC: wound assessment panel.
pub const PANEL: &str = "72287-6";
/// LOINC: wound area, in square centimetres.
pub const AREA: &str = "89260-4";
/// LOINC: wound length, in centimetres.
pub const LENGTH: &str = "39126-8";
/// LOINC: wound width, in centimetres.
pub const WIDTH: &str = "39125-0";
/// LOINC: wound depth, in centimetres.
pub const DEPTH: &str = "39127-6";
/// LOINC: wound volume, in cubic centimetres.
pub const VOLUME: &str = "94083-3";
/// LOINC: share of tissue in the wound bed.
pub const TISSUE: &str = "72370-0";
/// LOINC: undermining.
pub const UNDERMINING: &str = "72293-4";
/// LOINC: tunnelling.
pub const TUNNELLING: &str = "72296-7";

/// SNOMED CT: granulation tissue.
pub const GRANULATION: &str = "225541009";
/// SNOMED CT: slough.
pub const SLOUGH: &str = "449746002";
/// SNOMED CT: epithelialisation.
pub const EPITHELIALISATION: &str = "449743005";
/// SNOMED CT: eschar.
pub const ESCHAR: &str = "421306004";

/// Every code with its system and what it stands for here.
pub const TABLE: &[(&str, &str, &str)] = &[
    (LOINC, PANEL, "wound assessment panel"),
    (LOINC, AREA, "area, cm2"),
    (LOINC, LENGTH, "length, cm"),
    (LOINC, WIDTH, "width, cm"),
    (LOINC, DEPTH, "depth, cm"),
    (LOINC, VOLUME, "volume, cm3"),
    (LOINC, TISSUE, "tissue, %"),
    (LOINC, UNDERMINING, "undermining"),
    (LOINC, TUNNELLING, "tunnelling"),
    (SNOMED_CT, GRANULATION, "granulation"),
    (SNOMED_CT, SLOUGH, "slough"),
    (SNOMED_CT, EPITHELIALISATION, "epithelialisation"),
    (SNOMED_CT, ESCHAR, "eschar"),
];
