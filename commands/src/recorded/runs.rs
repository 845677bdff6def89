//! The commands as the signed log tells them: the events of one command stand one after the other.

use std::collections::VecDeque;

use audit::postgres::{LogReader, ReadError};
use sqlx::PgConnection;

use crate::log::CommandKey;

/// A command and its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) key: CommandKey,
    pub(super) first: u64,
    pub(super) count: u64,
}

/// Reads a log's commands in order, from proved events alone.
pub(super) struct Runs {
    reader: LogReader,
    next: u64,
    end: u64,
    open: Option<Run>,
    complete: VecDeque<Run>,
}

impl Runs {
    /// Those of the first `end` events.
    pub(super) fn new(reader: LogReader, end: u64) -> Runs {
        Runs { reader, next: 0, end, open: None, complete: VecDeque::new() }
    }

    /// The next command; none at the end.
    pub(super) async fn next(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<Option<Run>, ReadError> {
        loop {
            if let Some(run) = self.complete.pop_front() {
                return Ok(Some(run));
            }
            if self.next >= self.end {
                return Ok(self.open.take());
            }
            let events = self.reader.verify_range(connection, self.next, self.end).await?;
            if events.is_empty() {
                self.next = self.end;
            }
            for event in &events {
                let statement = event.statement();
                let key = CommandKey { actor: statement.actor.id, id: statement.command_id };
                let position = event.position();
                self.next = position + 1;
                match &mut self.open {
                    Some(run) if run.key == key => run.count += 1,
                    open => {
                        self.complete.extend(open.replace(Run { key, first: position, count: 1 }));
                    }
                }
            }
        }
    }
}
