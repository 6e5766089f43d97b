//! The verb: reads the file, shows the report, writes what came of it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use forebay_runtime::node::Host;
use serde_json::json;
use zeroize::Zeroizing;

use super::{CONFIGURATION, Import, Surroundings, import};

/// The longest turnserver.conf that is read.
const LONGEST: u64 = 1 << 20;

/// Translate a turnserver.conf of coturn's, with a report of every line.
///
/// Without --output nothing is written: the report and the configuration are
/// shown. With it, turnd.toml and the secret and users files it names (mode
/// 0600) are written into the directory, unless a line is refused. Then change
/// that line as the report says, in a copy, and import again.
///
///   forebay-turnd import-coturn /etc/turnserver.conf
///   forebay-turnd import-coturn /etc/turnserver.conf --output /etc/forebay
///   forebay-turnd --config /etc/forebay/turnd.toml --check
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// coturn's configuration file.
    #[arg(value_name = "TURNSERVER.CONF")]
    file: PathBuf,
    /// The directory to write into; made when it does not exist. Files in it
    /// are never overwritten.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Carries the verb out: 0 when everything is mapped or not needed, 1 when
/// something is refused or cannot be written.
pub fn run(arguments: &Arguments) -> ExitCode {
    match attempt(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("forebay-turnd: {message}");
            ExitCode::FAILURE
        }
    }
}

fn attempt(arguments: &Arguments) -> Result<bool, String> {
    let bytes = read(&arguments.file)?;
    let import = import(&bytes, &surroundings(&arguments.file));
    let is_refused = import.report.is_refused();
    let mut written = Vec::new();
    if let (Some(directory), false) = (&arguments.output, is_refused) {
        written = write(directory, &import)?;
    }
    let text = if arguments.json {
        to_json(arguments, &import, &written)
    } else {
        to_text(arguments, &import, &written)
    };
    // A closed pipe (`| head`) is no failure of the import.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(!is_refused)
}

fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let fail = |error: std::io::Error| format!("{}: {error}", file.display());
    let handle = fs::File::open(file).map_err(fail)?;
    let mut bytes = Zeroizing::new(Vec::new());
    handle
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("{}: exceeds 1 MiB", file.display()));
    }
    Ok(bytes)
}

fn surroundings(file: &Path) -> Surroundings {
    let host = Host::survey();
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    Surroundings {
        // It stands in a comment.
        name: name.escape_debug().to_string(),
        directory: absolute.parent().unwrap_or(Path::new("/")).to_owned(),
        default_addresses: host.default_addresses,
        ipv6: host.ipv6,
    }
}

/// All files or none: names are looked at first, and what was written is taken
/// back when a later one fails.
fn write(directory: &Path, import: &Import) -> Result<Vec<PathBuf>, String> {
    let mut files: Vec<(PathBuf, u32, &str)> = import
        .secrets
        .iter()
        .map(|secret| (directory.join(&secret.name), 0o600, secret.text.as_str()))
        .collect();
    files.push((
        directory.join(CONFIGURATION),
        0o644,
        import.configuration.as_str(),
    ));
    if let Some((taken, ..)) = files.iter().find(|(path, ..)| path.exists()) {
        return Err(format!(
            "{} exists and is not overwritten; move it away, or write into another directory",
            taken.display()
        ));
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut written = Vec::new();
    for (path, mode, text) in files {
        let done = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            });
        if let Err(error) = done {
            for file in &written {
                // The first error is the one to tell.
                let _ = fs::remove_file(file);
            }
            return Err(format!("{}: {error}", path.display()));
        }
        written.push(path);
    }
    Ok(written)
}

fn to_json(arguments: &Arguments, import: &Import, written: &[PathBuf]) -> String {
    let files: Vec<_> = written
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let value = json!({
        "file": arguments.file.display().to_string(),
        "is_refused": import.report.is_refused(),
        "report": import.report,
        "configuration": import.configuration,
        "written": files,
    });
    format!("{value:#}\n")
}

fn to_text(arguments: &Arguments, import: &Import, written: &[PathBuf]) -> String {
    let mut text = import.report.to_text();
    if import.report.is_refused() {
        text.push_str("Nothing is written until the refused lines are changed.\n");
        return text;
    }
    let Some(directory) = &arguments.output else {
        text.push_str("Nothing is written without --output DIR. It would hold:\n\n");
        text.push_str(&import.configuration);
        for secret in &import.secrets {
            text.push_str(&format!("\n({}, mode 0600, is not shown.)\n", secret.name));
        }
        return text;
    };
    for path in written {
        text.push_str(&format!("wrote {}\n", path.display()));
    }
    let configuration = directory.join(CONFIGURATION);
    text.push_str(&format!(
        "\nNext:\n  forebay-turnd --config {} --check\n",
        configuration.display()
    ));
    if !import.secrets.is_empty() {
        let names: Vec<_> = import
            .secrets
            .iter()
            .map(|secret| directory.join(&secret.name).display().to_string())
            .collect();
        text.push_str(&format!(
            "  chown forebay: {}     (the user of the systemd unit)\n",
            names.join(" ")
        ));
    }
    text
}
