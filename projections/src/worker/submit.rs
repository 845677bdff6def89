//! How a worker's command is recorded: under the first of its ids that no foreign command occupies.

use uuid::Uuid;

use super::derived::{DerivedIds, foreign_command};
use super::ports::{CommandSink, SinkError, WorkerCommand};

/// Who records: the worker's name, where its ids come from, and where its commands go.
pub(super) struct Submitter<'a> {
    pub(super) worker: &'static str,
    pub(super) ids: &'a DerivedIds,
    pub(super) sink: &'a dyn CommandSink,
}

impl Submitter<'_> {
    /// Records a command whose ids are made from `words`; `correlation_id` is that of the event it answers.
    pub(super) async fn submit(
        &self,
        words: &[&[u8]],
        correlation_id: Uuid,
        command: WorkerCommand,
    ) -> Result<(), SinkError> {
        let mut occupied = String::new();
        for id in self.ids.commands(self.worker, words) {
            match self.sink.record(command.clone(), id, correlation_id).await {
                Err(SinkError::Foreign { code }) => {
                    foreign_command(self.worker, id, &code);
                    occupied = code;
                }
                submitted => return submitted,
            }
        }
        Err(SinkError::Foreign { code: occupied })
    }
}
