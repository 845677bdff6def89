//! What is on record of commands, against the signed log.

use super::compared::Comparison;
use crate::recorded::{CommandDifference, CommandFinding, CommandsReport};

impl From<CommandsReport> for Comparison {
    fn from(report: CommandsReport) -> Comparison {
        let mut comparison = Comparison::begun("rows of commands");
        comparison.count(report.commands);
        for CommandFinding { position, difference, actor_id, command_id } in report.findings {
            let object = format!("command {command_id} of actor {actor_id}");
            comparison.push(
                Some(position),
                difference.as_str(),
                object,
                command_difference(difference),
            );
        }
        comparison.more += report.more;
        comparison
    }
}

fn command_difference(difference: CommandDifference) -> &'static str {
    match difference {
        CommandDifference::Missing => "the log holds its events, and no row tells of it",
        CommandDifference::Foreign => "a row tells of it, and nothing of this ledger wrote that",
        CommandDifference::Changed => "the row says that it has other events than the log",
        CommandDifference::Tag => "the row's tag is not the one that this ledger gave it",
        CommandDifference::DoneTwice => "the log holds its events in two places",
    }
}
