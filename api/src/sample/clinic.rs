//! Who works at the sample clinic, who comes there, and when. All of it is made up here.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::{Span, ToSpan};
use serde_json::{Value, json};
use wound::phantom::{PhantomSpec, healing_series};

/// The zone of the clock on the clinic's wall.
const ZONE: &str = "America/Chicago";

/// How many practitioners see patients side by side, each in a room of their own.
const LANES: usize = 2;

/// How often each wound is seen, a week apart.
const WOUND_VISITS: u32 = 6;

/// Given names, family names and birth dates that belong to no real person.
const PATIENTS: [(&str, &str, &str, &str); 12] = [
    ("Aurelia", "Quistgaard", "female", "1947-03-02"),
    ("Bertrand", "Umeh-Solberg", "male", "1952-11-19"),
    ("Chiyo", "Varga", "female", "1938-07"),
    ("Demir", "Ostrowski", "male", "1961-01-30"),
    ("Eilidh", "Papadimos", "female", "1990-09-14"),
    ("Fenton", "Grzelak", "male", "1974-05-08"),
    ("Giang", "Halvorsen", "other", "2001-12-25"),
    ("Hadiza", "Irizarry", "female", "1983-06-21"),
    ("Ignatius", "Juhasz", "male", "1949"),
    ("Jorunn", "Kaplinski", "female", "1969-10-03"),
    ("Kofi", "Lindqvist", "male", "1956-08-17"),
    ("Leocadia", "Mbatha", "female", "1944-04-11"),
];

/// A member of staff.
pub struct Staff {
    /// The log-in name.
    pub login: &'static str,
    /// The name shown.
    pub display_name: &'static str,
    /// The role.
    pub role: &'static str,
}

/// A patient, as the API takes one.
pub struct Patient {
    /// Tells the patient's requests apart.
    pub key: String,
    /// The registration.
    pub registration: Value,
}

/// A booking.
pub struct Visit {
    /// Which patient.
    pub patient: usize,
    /// Which practitioner.
    pub practitioner: usize,
    /// Which room.
    pub room: usize,
    /// When, by the clock on the wall.
    pub start: DateTime,
    /// For how long.
    pub minutes: u32,
}

impl Visit {
    /// The booking, as the API takes it.
    pub fn booking(&self, patient_id: &str, practitioner_id: &str, room_id: &str) -> Value {
        json!({
            "patient_id": patient_id,
            "practitioner_id": practitioner_id,
            "room_id": room_id,
            "time": { "start": self.start.strftime("%Y-%m-%dT%H:%M").to_string(), "zone": ZONE,
                      "duration_minutes": self.minutes },
            "reason": "wound care",
        })
    }
}

/// A wound and its visits.
pub struct WoundCase {
    /// Which patient.
    pub patient: usize,
    /// What is said of it when it is opened.
    pub opening: Value,
    /// One scan for each visit, oldest first: when it was taken and what the phantom is made of.
    pub visits: Vec<(Date, PhantomSpec)>,
}

/// The whole clinic.
pub struct Clinic {
    /// Who works there.
    pub staff: Vec<Staff>,
    /// With whom is booked, as the API takes them.
    pub practitioners: Vec<Value>,
    /// Where the clinic is, as the API takes it.
    pub site: Value,
    /// Who comes there.
    pub patients: Vec<Patient>,
    /// The coming week.
    pub week: Vec<Visit>,
    /// The wounds.
    pub wounds: Vec<WoundCase>,
}

impl Clinic {
    /// The clinic as it is loaded on this day.
    pub fn on(today: Date) -> Clinic {
        Clinic {
            staff: staff(),
            practitioners: practitioners(),
            site: json!({
                "kind": "site", "name": "Sample clinic", "zone": ZONE,
                "address": { "lines": ["1 Example Street"], "city": "Sampleton", "country": "US" },
            }),
            patients: patients(),
            week: week(today),
            wounds: wounds(today),
        }
    }

    /// The rooms at the site, as the API takes them. Their clocks show the time of the site.
    pub fn rooms(&self, site_id: &str) -> Vec<Value> {
        (1..=LANES)
            .map(|number| {
                json!({ "kind": "room", "name": format!("Room {number}"), "parent_id": site_id })
            })
            .collect()
    }
}

fn practitioners() -> Vec<Value> {
    [("Maren", "Oyelaran", "1"), ("Tadeo", "Brankovic", "2")]
        .map(|(given, family, number)| {
            json!({
                "name": { "family": family, "given": [given], "prefix": ["Dr."] },
                "identifiers": [{ "system": "urn:example:coherency:staff", "value": number }],
                "qualifications": [{ "text": "Wound care" }],
            })
        })
        .into()
}

fn staff() -> Vec<Staff> {
    [
        ("clinician", "Sample clinician", "clinician"),
        ("front-desk", "Sample front desk", "front-desk"),
        ("auditor", "Sample auditor", "auditor"),
        ("compliance", "Sample compliance officer", "compliance"),
    ]
    .map(|(login, display_name, role)| Staff { login, display_name, role })
    .into()
}

fn patients() -> Vec<Patient> {
    let number = |index: usize| format!("CL-{:06}", 104_729 + 7_919 * index);
    PATIENTS
        .iter()
        .enumerate()
        .map(|(index, (given, family, gender, birth_date))| Patient {
            key: format!("patient {index}"),
            registration: json!({
                "name": { "family": family, "given": [given], "use": "official" },
                "gender": gender,
                "birth_date": birth_date,
                "identifiers": [{ "system": "urn:example:coherency:mrn", "value": number(index), "type": "MR" }],
            }),
        })
        .collect()
}

/// Monday to Friday of the week after `today`, two practitioners in two rooms, half an hour each.
fn week(today: Date) -> Vec<Visit> {
    let monday = today.nth_weekday(1, Weekday::Monday).unwrap_or(today);
    let mut visits = Vec::new();
    for day in 0..5_i64 {
        for hour in 0..6_i64 {
            let index = day * 6 + hour;
            let start = monday.saturating_add(day.days()).at(9, 0, 0, 0);
            let start = start.saturating_add(Span::new().minutes(30 * hour));
            for lane in 0..LANES {
                // Two lanes never ask for the same patient at the same time: they are six apart.
                let patient = (index * 5 + lane as i64 * 6).rem_euclid(PATIENTS.len() as i64);
                visits.push(Visit {
                    patient: usize::try_from(patient).unwrap_or(0),
                    practitioner: lane,
                    room: lane,
                    start,
                    minutes: 30,
                });
            }
        }
    }
    visits
}

fn wounds(today: Date) -> Vec<WoundCase> {
    let cases = [
        (
            0,
            11,
            json!({ "site": "lower-leg", "laterality": "left", "etiology": "venous-leg-ulcer" }),
        ),
        (
            3,
            23,
            json!({ "site": "heel", "laterality": "right", "etiology": "diabetic-foot-ulcer" }),
        ),
    ];
    let weeks = i64::from(WOUND_VISITS);
    cases
        .into_iter()
        .map(|(patient, seed, opening)| WoundCase {
            patient,
            opening,
            visits: (1..=weeks)
                .map(|visit| today.saturating_sub(Span::new().weeks(weeks - visit).days(1)))
                .zip(healing_series(seed, WOUND_VISITS))
                .collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Clinic;
    use jiff::civil::date;

    #[test]
    fn nobody_is_asked_to_be_at_two_places_at_once() {
        let clinic = Clinic::on(date(2026, 11, 21));
        assert_eq!((clinic.patients.len(), clinic.week.len()), (12, 60));
        for (index, visit) in clinic.week.iter().enumerate() {
            assert!(visit.start.date() > date(2026, 11, 21));
            for other in clinic.week[..index].iter().filter(|other| other.start == visit.start) {
                assert_ne!(visit.practitioner, other.practitioner);
                assert_ne!(visit.room, other.room);
                assert_ne!(visit.patient, other.patient);
            }
        }
        for wound in &clinic.wounds {
            assert_eq!(wound.visits.len(), 6);
            assert!(wound.visits.is_sorted_by_key(|(day, _)| *day));
        }
    }
}
