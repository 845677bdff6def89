//! The registry of models: given/when/then, and that whatever is asked, one model at most is active.

use cqrs_es::Aggregate;
use domain::model::{
    ActivateModel, CardError, CardMetrics, CardParts, ContourError, MAX_MODELS, MAX_WEIGHTS_SIZE,
    ModelCard, ModelCommand, ModelEvent, ModelStatus, Reference, RegisterModel, RollBackModel,
};
use domain::value::Digest;
use domain::{ModelRegistry, Stream};
use proptest::prelude::*;

use crate::support::{accepts, card, card_parts, given, now, refuses, uuid, val};

fn weights(n: u8) -> Digest {
    Digest([n; 32])
}

fn register(n: u8) -> ModelCommand {
    let command = RegisterModel { weights_sha256: weights(n), size: 7_468_552, card: card() };
    ModelCommand::Register(Box::new(command))
}

fn sized(size: u64) -> ModelCommand {
    let command = RegisterModel { weights_sha256: weights(99), size, card: card() };
    ModelCommand::Register(Box::new(command))
}

fn activate(n: u8) -> ModelCommand {
    let reason = val("better on small wounds");
    ModelCommand::Activate(ActivateModel { weights_sha256: weights(n), reason })
}

fn roll_back() -> ModelCommand {
    ModelCommand::RollBack(RollBackModel { reason: val("misses wounds on dark skin") })
}

/// The events of commands that are all accepted.
fn after(commands: Vec<ModelCommand>) -> Vec<ModelEvent> {
    let mut events = Vec::new();
    for command in commands {
        let state: ModelRegistry = given(&events);
        events.push(accepts(&state, now(), command));
    }
    events
}

fn standing(commands: Vec<ModelCommand>) -> ModelRegistry {
    given(&after(commands))
}

#[test]
fn a_model_is_registered_before_it_is_active() {
    let empty = ModelRegistry::default();
    assert_eq!((empty.active(), empty.status(&weights(1))), (None, None));
    #[rustfmt::skip]
    refuses(&empty, now(), vec![
        ("activate what is not there", activate(1), "unknown-model", Some("weights_sha256")),
        ("roll back from nothing", roll_back(), "nothing-to-roll-back-to", None),
        ("weights of no size", sized(0), "weights-size", Some("size")),
        ("weights too large", sized(MAX_WEIGHTS_SIZE + 1), "weights-size", Some("size")),
    ]);
    let one = standing(vec![register(1)]);
    assert_eq!(one.status(&weights(1)), Some(ModelStatus::Registered));
    assert_eq!(one.active(), None);
    #[rustfmt::skip]
    refuses(&one, now(), vec![
        ("register again", register(1), "model-already-registered", Some("weights_sha256")),
        ("activate another", activate(2), "unknown-model", Some("weights_sha256")),
        ("roll back from nothing", roll_back(), "nothing-to-roll-back-to", None),
    ]);
    let active = standing(vec![register(1), activate(1)]);
    assert_eq!(active.active(), Some(weights(1)));
    assert_eq!(active.model(&weights(1)).and_then(|model| model.activated_at), Some(now().0));
    #[rustfmt::skip]
    refuses(&active, now(), vec![
        ("activate again", activate(1), "already-active", None),
        ("roll back from the first", roll_back(), "nothing-to-roll-back-to", None),
    ]);
}

#[test]
fn rolling_back_withdraws_for_good_and_returns_to_the_one_before() {
    let commands = vec![register(1), register(2), activate(1), activate(2)];
    let events = after(commands.clone());
    let ModelEvent::ModelActivated(second) = &events[3] else { panic!("{:?}", events[3]) };
    assert_eq!(second.replaced, Some(weights(1)));
    let mut commands = commands;
    commands.push(roll_back());
    let events = after(commands.clone());
    let ModelEvent::ModelRolledBack(back) = &events[4] else { panic!("{:?}", events[4]) };
    assert_eq!((back.withdrawn, back.active), (weights(2), weights(1)));
    let state: ModelRegistry = given(&events);
    assert_eq!(state.active(), Some(weights(1)));
    assert_eq!(state.status(&weights(2)), Some(ModelStatus::Withdrawn));
    assert_eq!(state.withdrawn().collect::<Vec<_>>(), [weights(2)]);
    #[rustfmt::skip]
    refuses(&state, now(), vec![
        ("activate what was withdrawn", activate(2), "model-withdrawn", None),
        ("register what was withdrawn", register(2), "model-already-registered", Some("weights_sha256")),
        ("roll back further", roll_back(), "nothing-to-roll-back-to", None),
    ]);
}

#[test]
fn a_model_that_was_active_twice_is_withdrawn_whole() {
    let state = standing(vec![
        register(1),
        register(2),
        activate(1),
        activate(2),
        activate(1),
        roll_back(),
    ]);
    assert_eq!(state.active(), Some(weights(2)), "the one that was active before it");
    assert_eq!(state.withdrawn().collect::<Vec<_>>(), [weights(1)]);
    refuses(&state, now(), vec![("further", roll_back(), "nothing-to-roll-back-to", None)]);
}

#[test]
fn models_are_bounded() {
    let most = u8::try_from(MAX_MODELS).expect("a small number");
    let state = standing((0..most).map(register).collect());
    refuses(&state, now(), vec![("one too many", register(most), "too-many-models", None)]);
    assert_eq!(state.models().count(), MAX_MODELS);
}

#[test]
fn the_registry_is_one_stream_about_nobody_that_names_its_weights() {
    assert_eq!(ModelRegistry::ID.get_version_num(), 8);
    assert_eq!(ModelRegistry::ID.to_string(), "6d6f6465-6c73-8000-8000-000000000001");
    let id = uuid(1);
    let events = after(vec![register(1), register(2), activate(1), activate(2), roll_back()]);
    let state: ModelRegistry = given(&events);
    assert_eq!((state.subject(id), ModelRegistry::follows(id)), (None, None));
    assert!(events.iter().all(|event| ModelRegistry::claims(id, event).is_empty()));
    assert!(events.iter().all(|event| ModelRegistry::erases(id, event).is_none()));
    let media: Vec<_> = events.iter().flat_map(ModelRegistry::media).collect();
    let named: Vec<_> = media.iter().map(|media| (media.sha256, media.size)).collect();
    assert_eq!(named, [([1; 32], 7_468_552), ([2; 32], 7_468_552)]);
}

#[test]
fn a_card_holds_no_nonsense() {
    let parts = card_parts();
    let error = |parts: CardParts| ModelCard::try_from(parts).err();
    let limits =
        |count: usize| CardParts { limits: vec![val("small ones"); count], ..card_parts() };
    assert_eq!(error(limits(1)), None);
    assert_eq!(error(limits(ModelCard::MAX_LIMITS)), None);
    let most = ModelCard::MAX_LIMITS;
    assert_eq!(error(limits(0)), Some(CardError::Limits { max: most }));
    assert_eq!(error(limits(most + 1)), Some(CardError::Limits { max: most }));

    let metrics = parts.metrics;
    let contour_error = parts.contour_error;
    let with_metrics = |metrics: CardMetrics| CardParts { metrics, ..card_parts() };
    let with_error = |contour_error: ContourError| CardParts { contour_error, ..card_parts() };
    let threshold =
        |permille: u16| CardParts { wound_threshold_permille: permille, ..card_parts() };
    let out_of_range = [
        ("n", with_metrics(CardMetrics { n: 0, ..metrics })),
        (
            "dice_pooled_permille",
            with_metrics(CardMetrics { dice_pooled_permille: 1001, ..metrics }),
        ),
        ("dice_mean_permille", with_metrics(CardMetrics { dice_mean_permille: 1001, ..metrics })),
        ("wound_threshold_permille", threshold(0)),
        ("wound_threshold_permille", threshold(1001)),
        (
            "offset_millicells",
            with_error(ContourError { offset_millicells: 10_001, ..contour_error }),
        ),
        (
            "ragged_millicells",
            with_error(ContourError { ragged_millicells: 10_001, ..contour_error }),
        ),
    ];
    for (field, parts) in out_of_range {
        let found = error(parts).unwrap_or_else(|| panic!("{field}: must be refused"));
        assert!(matches!(found, CardError::OutOfRange { field: named, .. } if named == field));
        assert!(found.to_string().contains(field), "{found}");
    }
    assert_eq!(error(threshold(1000)), None);

    let counted = |wounds: u32, brightness: u32| {
        let counts = |count: u32| [count, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let reference =
            Reference { wound_probability: counts(wounds), picture_brightness: counts(brightness) };
        error(CardParts { reference, ..card_parts() })
    };
    assert_eq!(counted(50, 50), None);
    assert_eq!(counted(50, 51), Some(CardError::ReferenceUneven));
    for (wounds, brightness, named) in [
        (49, 50, "wound_probability"),
        (50, 49, "picture_brightness"),
        (u32::MAX, 50, "wound_probability"),
    ] {
        let found = counted(wounds, brightness);
        assert!(matches!(found, Some(CardError::Reference { field, .. }) if field == named));
    }
    assert!((card().wound_threshold() - 0.8).abs() < f32::EPSILON);
}

#[test]
fn a_card_reads_back_and_knows_its_fields() {
    let json = serde_json::to_value(card()).expect("serialisable");
    let read: ModelCard = serde_json::from_value(json.clone()).expect("readable");
    assert_eq!(read, card());
    let mut more = json.clone();
    more["patients"] = "Anna Probe".into();
    let error = serde_json::from_value::<ModelCard>(more).expect_err("unknown").to_string();
    assert!(!error.contains("Probe"), "{error}");
    let mut nine = json;
    nine["reference"]["wound_probability"] = serde_json::json!([1, 2, 3]);
    assert!(serde_json::from_value::<ModelCard>(nine).is_err());
}

proptest! {
    /// Whatever is asked in whatever order: what was withdrawn is never active again, nothing is active that was not
    /// activated, and what is refused changes nothing.
    #[test]
    fn no_sequence_of_commands_brings_a_withdrawn_model_back(
        asked in proptest::collection::vec((0u8..6, 0u8..4), 1..60),
    ) {
        let mut state = ModelRegistry::default();
        let (mut order, mut withdrawn, mut registered) = (Vec::new(), Vec::new(), Vec::new());
        for (what, n) in asked {
            let (command, may) = match what {
                0..=1 => (register(n), !registered.contains(&n)),
                2..=4 => (
                    activate(n),
                    registered.contains(&n) && !withdrawn.contains(&n) && order.last() != Some(&n),
                ),
                _ => (roll_back(), order.len() > 1),
            };
            let decided = state.decide(command, &now());
            prop_assert_eq!(decided.is_ok(), may);
            let Ok(events) = decided else { continue };
            for event in events {
                match &event {
                    ModelEvent::ModelRegistered(_) => registered.push(n),
                    ModelEvent::ModelActivated(_) => {
                        order.retain(|other| *other != n);
                        order.push(n);
                    }
                    ModelEvent::ModelRolledBack(_) => withdrawn.extend(order.pop()),
                }
                state.apply(event);
            }
            prop_assert_eq!(state.active(), order.last().map(|n| weights(*n)));
            prop_assert_eq!(state.withdrawn().count(), withdrawn.len());
        }
    }
}

#[test]
fn weights_have_a_byte_to_64_mebibytes() {
    assert_eq!(MAX_WEIGHTS_SIZE, 67_108_864);
    for size in [1, MAX_WEIGHTS_SIZE] {
        let event = accepts(&ModelRegistry::default(), now(), sized(size));
        let state: ModelRegistry = given(&[event]);
        let model = state.model(&weights(99)).expect("a model");
        assert_eq!((model.size, model.registered_at), (size, now().0));
        assert_eq!((model.activated_at, model.withdrawn_at), (None, None));
    }
}

#[test]
fn each_model_stands_by_itself() {
    let state = standing(vec![
        register(1),
        register(2),
        register(3),
        activate(3),
        activate(1),
        activate(2),
        roll_back(),
    ]);
    let status = |n: u8| state.status(&weights(n));
    assert_eq!(status(1), Some(ModelStatus::Active));
    assert_eq!(status(2), Some(ModelStatus::Withdrawn));
    assert_eq!(status(3), Some(ModelStatus::Registered), "it was active, and may be again");
    assert_eq!(status(4), None);
    assert!(state.model(&weights(4)).is_none());
    let withdrawn = state.model(&weights(2)).expect("a model");
    assert_eq!((withdrawn.activated_at, withdrawn.withdrawn_at), (Some(now().0), Some(now().0)));
    assert_eq!(state.withdrawn().collect::<Vec<_>>(), [weights(2)]);
    assert!(state.models().map(|(digest, _)| *digest).eq([1, 2, 3].map(weights)));
    accepts(&state, now(), activate(3));
}

#[test]
fn the_last_model_that_fits_is_registered() {
    let last = u8::try_from(MAX_MODELS).expect("a small number") - 1;
    accepts(&standing((0..last).map(register).collect()), now(), register(last));
}

#[test]
fn a_card_takes_every_figure_up_to_its_limit() {
    let parts = card_parts();
    let accepted = |parts: CardParts| ModelCard::try_from(parts).is_ok();
    for n in [1, u32::MAX] {
        assert!(accepted(CardParts {
            metrics: CardMetrics { n, ..parts.metrics },
            ..card_parts()
        }));
    }
    for permille in [0, 1000] {
        let metrics = CardMetrics {
            dice_pooled_permille: permille,
            dice_mean_permille: permille,
            ..parts.metrics
        };
        assert!(accepted(CardParts { metrics, ..card_parts() }));
    }
    for millicells in [0, 10_000] {
        let contour_error =
            ContourError { offset_millicells: millicells, ragged_millicells: millicells };
        assert!(accepted(CardParts { contour_error, ..card_parts() }));
    }
    for (permille, threshold) in [(1, 0.001), (500, 0.5), (1000, 1.0)] {
        let parts = CardParts { wound_threshold_permille: permille, ..card_parts() };
        let card = ModelCard::try_from(parts).expect("a card");
        assert!((card.wound_threshold() - threshold).abs() < 1e-7);
    }
    let counted = |count: u32| {
        let counts = [0, 0, 0, 0, 0, 0, 0, 0, 0, count];
        let reference = Reference { wound_probability: counts, picture_brightness: counts };
        accepted(CardParts { reference, ..card_parts() })
    };
    assert!(!counted(49) && counted(50) && counted(100_000_000) && !counted(100_000_001));
}
