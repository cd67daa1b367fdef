//! The kiln command: parse, dispatch, report. No logic.

use std::process::ExitCode;

use clap::Parser;
use kiln::cli::Cli;
use kiln::report::Report;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let report = Report::new(cli.color, cli.quiet);
    match kiln::command::run(&cli.command, &report) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report.error(&error);
            ExitCode::from(error.class().exit_code())
        }
    }
}
