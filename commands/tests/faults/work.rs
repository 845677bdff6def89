//! The commands of a torture. Each follows from seed, writer and number alone, so that a writer that was killed asks
//! again, under the same id, for what was not answered.

use uuid::Uuid;

use crate::random::Random;
use crate::task::{Slot, Task, book, cancel, disclose, list, register, rename, reschedule};

/// Streams that every writer writes to.
const SHARED: u64 = 4;
const EVERYBODY: u8 = 0xff;

/// How far back a command reaches for a stream of its own.
const REACH: u64 = 64;

/// Practitioners, days and quarters of an hour that everybody books.
const PRACTITIONERS: u64 = 12;
const DAYS: u64 = 60;
const QUARTERS: u64 = 32;

/// One writer's share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) seed: u64,
    pub(crate) writer: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Register,
    List,
    Rename,
    RenameShared,
    Book,
    Reschedule,
    Cancel,
    Disclose,
}

fn id(kind: u8, writer: u8, seed: u64, n: u64) -> Uuid {
    let mut bytes = [0; 16];
    bytes[0] = kind;
    bytes[1] = writer;
    bytes[2..6].copy_from_slice(&(seed as u32).to_be_bytes());
    bytes[9..].copy_from_slice(&n.to_be_bytes()[1..]);
    Uuid::new_v8(bytes)
}

fn practitioner(n: u64) -> Uuid {
    Uuid::from_u128(1 + u128::from(n))
}

impl Work {
    /// The id of a command.
    pub(crate) fn command_id(&self, n: u64) -> Uuid {
        id(1, self.writer, self.seed, n)
    }

    fn patient(&self, n: u64) -> Uuid {
        let writer = if n < SHARED { EVERYBODY } else { self.writer };
        id(2, writer, self.seed, n)
    }

    fn appointment(&self, n: u64) -> Uuid {
        id(3, self.writer, self.seed, n)
    }

    fn random(&self, n: u64) -> Random {
        Random::new(
            self.seed ^ (u64::from(self.writer) << 56) ^ n.wrapping_mul(0x2545_f491_4f6c_dd1d),
        )
    }

    fn kind(&self, n: u64) -> Kind {
        if (SHARED..SHARED + PRACTITIONERS).contains(&n) {
            return Kind::List;
        }
        if n < SHARED || n.is_multiple_of(4) {
            return Kind::Register;
        }
        match self.random(n).within(0..12) {
            0..=2 => Kind::Rename,
            3 | 4 => Kind::RenameShared,
            5..=8 => Kind::Book,
            9 => Kind::Reschedule,
            10 => Kind::Cancel,
            _ => Kind::Disclose,
        }
    }

    /// The last command of this kind before `n`, some way back.
    fn earlier(&self, kind: Kind, n: u64, random: &mut Random) -> u64 {
        let from = n.saturating_sub(random.within(1..REACH));
        (0..=from).rev().take(REACH as usize).find(|n| self.kind(*n) == kind).unwrap_or(0)
    }

    /// The command of this number.
    pub(crate) fn task(&self, n: u64) -> Task {
        let mut random = self.random(n);
        let kind = self.kind(n);
        let _the_kind = random.within(0..12);
        let slot = Slot {
            practitioner: practitioner(random.within(0..PRACTITIONERS)),
            day: random.within(0..DAYS),
            quarter: random.within(0..QUARTERS),
        };
        match kind {
            // A number of one's own, or now and then one of those that everybody asks for.
            Kind::Register if n >= SHARED && random.within(0..12) == 0 => {
                register(self.patient(n), &format!("C-{}", random.within(0..64)))
            }
            Kind::Register if n < SHARED => register(self.patient(n), &format!("S-{n}")),
            Kind::Register => register(self.patient(n), &format!("W-{}-{n}", self.writer)),
            Kind::List => list(practitioner(n - SHARED)),
            Kind::Rename => {
                let whom = self.earlier(Kind::Register, n, &mut random);
                rename(self.patient(whom), &format!("Beispiel-{n}"))
            }
            Kind::RenameShared => {
                let family = format!("Muster-{}-{n}", self.writer);
                rename(self.patient(random.within(0..SHARED)), &family)
            }
            Kind::Book => {
                let whom = self.earlier(Kind::Register, n, &mut random);
                book(self.appointment(n), self.patient(whom), &slot)
            }
            Kind::Reschedule => {
                reschedule(self.appointment(self.earlier(Kind::Book, n, &mut random)), &slot)
            }
            Kind::Cancel => cancel(self.appointment(self.earlier(Kind::Book, n, &mut random))),
            Kind::Disclose => disclose(&[self.patient(0), self.patient(1 + n % (SHARED - 1))]),
        }
    }
}
