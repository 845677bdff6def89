//! What the commands of a durable batch are answered.

use super::outcomes::Outcome;
use super::state::Sequencer;
use crate::log::{Appended, AppendedEvents, Queued, Rejection};

impl Sequencer {
    /// Answers every command of a batch, in order.
    pub(super) fn answer(&self, batch: Vec<Queued>, outcomes: Vec<Outcome>) {
        // Here, because a batch that was tried twice is answered once.
        metrics::histogram!("ledger_batch_commands").record(batch.len() as f64);
        let checkpoint = self.publish.borrow().checkpoint.clone();
        let mut answers: Vec<Result<Appended, Rejection>> = Vec::with_capacity(batch.len());
        let mut replies = Vec::with_capacity(batch.len());
        for (queued, outcome) in batch.into_iter().zip(outcomes) {
            replies.push(queued.reply);
            answers.push(match outcome {
                Outcome::Appended { first, proofs } => Ok(Appended {
                    append: AppendedEvents { first, events: queued.append.events, proofs },
                    checkpoint: checkpoint.clone(),
                }),
                Outcome::Rejected(rejection) => {
                    metrics::counter!("ledger_rejections_total", "code" => rejection.code())
                        .increment(1);
                    Err(rejection)
                }
                // The first of the two is earlier in the batch, so its answer is there.
                Outcome::Same { as_index } => answers[as_index].clone(),
            });
        }
        for (reply, answer) in replies.into_iter().zip(answers) {
            // No task waits any more if the request was given up; the command is done all the same.
            let _ = reply.send(answer);
        }
    }
}
