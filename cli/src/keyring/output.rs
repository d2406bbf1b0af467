//! Where a keyring is written: to standard output, or to a file that nobody else can read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use khata_crypto::KeyringFile;

/// Where it goes.
#[derive(Clone, Debug, clap::Args)]
pub struct Output {
    /// File to write instead of standard output, readable by its owner alone; there must be none yet
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if there is one: at once and whole
    #[arg(long, requires = "output")]
    force: bool,
}

impl Output {
    /// Writes the JSON and a line break.
    pub(super) fn write(&self, keyring: &KeyringFile) -> anyhow::Result<()> {
        let json = keyring.to_json();
        let Some(path) = &self.output else {
            let mut stdout = io::stdout().lock();
            stdout.write_all(&json)?;
            stdout.write_all(b"\n")?;
            return Ok(stdout.flush()?);
        };
        let cannot = || format!("cannot write {}", path.display());
        if self.force {
            replace(path, &json).with_context(cannot)
        } else {
            match create(path, &json) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    bail!("{} is there already; --force replaces it", path.display())
                }
                result => result.with_context(cannot),
            }
        }
    }
}

/// Writes a file that is not there yet; leaves none behind if it fails.
fn create(path: &Path, json: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file
        .write_all(json)
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_folder(path));
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

/// Writes beside the file and puts it in its place: whoever reads sees the one or the other, also after a crash.
fn replace(path: &Path, json: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = PathBuf::from(draft);
    create(&draft, json)?;
    let replaced = fs::rename(&draft, path).and_then(|()| sync_folder(path));
    if replaced.is_err() {
        let _ = fs::remove_file(&draft);
    }
    replaced
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(format!("khata-output-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn a_file_is_private_whole_and_never_overwritten_unasked() {
        let folder = folder();
        let path = folder.join("keyring.json");
        let output = |force| Output {
            output: Some(path.clone()),
            force,
        };
        let (first, second) = (KeyringFile::generate(), KeyringFile::generate());
        let stands = || fs::read(&path).unwrap();
        let written = |keyring: &KeyringFile| [keyring.to_json().as_slice(), b"\n"].concat();

        output(false).write(&first).unwrap();
        assert_eq!(stands(), written(&first));
        let fault = output(false).write(&second).unwrap_err().to_string();
        assert!(fault.contains("--force"), "{fault}");
        assert_eq!(stands(), written(&first));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        output(true).write(&second).unwrap();
        assert_eq!(stands(), written(&second));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no draft stays");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_replacement_that_fails_leaves_what_was() {
        let folder = folder();
        let path = folder.join("keyring.json");
        // A folder cannot be replaced by a file.
        fs::create_dir(&path).unwrap();
        let output = Output {
            output: Some(path.clone()),
            force: true,
        };
        assert!(output.write(&KeyringFile::generate()).is_err());
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no draft stays");
        fs::remove_dir_all(folder).unwrap();
    }
}
