//! What a service's command line may ask for.

use super::{Options, check, init_logging, run};
use crate::config::{Settings, default_text};

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Serve until told to end.
    Serve,
    /// Validate the configuration and tell what would be started.
    Check,
    /// Print the default configuration.
    PrintDefault,
}

impl Task {
    /// From the two switches every service has.
    pub const fn of(check: bool, print_default: bool) -> Self {
        match (check, print_default) {
            (_, true) => Self::PrintDefault,
            (true, false) => Self::Check,
            (false, false) => Self::Serve,
        }
    }

    /// Does it, and returns what is to be printed.
    ///
    /// # Errors
    /// Why it cannot be done, or why the service ended, for people.
    pub fn carry_out(self, options: &Options) -> Result<String, String> {
        match self {
            Self::PrintDefault => Ok(default_text(options.role)),
            Self::Check => {
                let mut lines = check(options).map_err(|error| error.to_string())?;
                lines.push(format!("{}: good\n", options.config.display()));
                Ok(lines.join("\n"))
            }
            Self::Serve => serve(options).map(|()| String::new()),
        }
    }
}

fn serve(options: &Options) -> Result<(), String> {
    let settings =
        Settings::load(&options.config, options.role).map_err(|error| error.to_string())?;
    let logging = init_logging(&settings.log, options.software)?;
    run(settings, options, &logging).map_err(|error| error.to_string())
}
