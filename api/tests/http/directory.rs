//! The directory through the door for reading: who may look, what is found, and that no look at it is recorded.

use api::records::{Look, RecordsError};
use commands::{Actor, CommandError, PurposeOfUse};
use domain::account::Role;
use domain::{AccountId, LocationId, PractitionerId};
use projections::read_models::{LocationSearch, Page, PractitionerSearch};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::common::{ROLES, TestApp};

fn look(roles: &[Role], min_position: Option<u64>) -> Look {
    let id = AccountId::from_uuid(Uuid::from_u128(0xacc0));
    Look {
        actor: Actor::user(id, roles.iter().copied()),
        purpose: PurposeOfUse::Treat,
        correlation_id: Uuid::now_v7(),
        min_position,
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn whoever_works_here_looks_practitioners_and_rooms_up_and_nothing_is_recorded(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let app = TestApp::start(options).await;
    let (practitioner, room) = (Uuid::now_v7(), Uuid::now_v7());
    app.list(practitioner, Some(room)).await;
    let last = app.state.ledger.size() - 1;
    let (records, page) = (&app.state.records, Page::default());
    let (of, at) = (PractitionerId::from_uuid(practitioner), LocationId::from_uuid(room));
    for role in ROLES {
        let look = look(&[*role], Some(last));
        let found = records.practitioner(&look, of).await.expect("the practitioner");
        assert_eq!((found.id, found.active), (of, true), "{role}");
        let found = records.location(&look, at).await.expect("the room");
        assert_eq!((found.location.id, found.zone.as_deref()), (at, Some("UTC")), "{role}");
        let found = records.search_practitioners(&look, &PractitionerSearch::default(), &page);
        assert_eq!(found.await.expect("an answer").items.len(), 1, "{role}");
        let found = records.search_locations(&look, &LocationSearch::default(), &page);
        assert_eq!(found.await.expect("an answer").items.len(), 1, "{role}");
    }
    let missing = records.practitioner(&look(&[Role::Analyst], None), Uuid::now_v7().into()).await;
    assert!(matches!(missing, Err(RecordsError::NotFound { what: "practitioner" })));
    let nobody = records.practitioner(&look(&[], None), of).await;
    assert!(matches!(nobody, Err(RecordsError::Ledger(CommandError::Denied { .. }))));
    assert_eq!(app.events("disclosure").await, 0);
    app.stop().await;
}
