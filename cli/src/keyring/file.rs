//! Reading the keyring, and writing one to standard output or to a file that only its owner can read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use khata_crypto::{KeyringFile, KeyringSettings, TransitSettings};

use crate::output::note;

/// Reads the keyring, weak keys included, so that the operator can replace them. Prints a warning for each.
pub(super) fn read(settings: &KeyringSettings) -> anyhow::Result<KeyringFile> {
    let file = settings.read()?;
    if let Err(exposed) = settings.check_mode() {
        note(&format!(
            "{exposed}: outside sandbox mode no service starts with this keyring."
        ));
    }
    for weakness in file.weaknesses() {
        note(&format!(
            "{weakness}: outside sandbox mode no service starts with this keyring."
        ));
    }
    Ok(file)
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Output {
    /// File to write instead of standard output, readable by its owner only; it must not exist
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace an existing file atomically; refused if that loses a key
    #[arg(long, requires = "output")]
    force: bool,
}

impl Output {
    /// Writes the keyring, encrypted if there is a transit engine.
    pub(super) fn write(
        &self,
        keyring: &KeyringFile,
        transit: &TransitSettings,
    ) -> anyhow::Result<()> {
        self.write_pruned(keyring, keyring, transit)
    }

    /// Writes the keyring without the encryption of the transit engine.
    pub(super) fn write_plain(
        &self,
        keyring: &KeyringFile,
        transit: &TransitSettings,
    ) -> anyhow::Result<()> {
        self.check_replaceable(keyring, transit)?;
        self.write_json(&keyring.to_json())
    }

    /// Writes a keyring from which keys of `old` were dropped, encrypted if there is a transit engine.
    pub(super) fn write_pruned(
        &self,
        old: &KeyringFile,
        keyring: &KeyringFile,
        transit: &TransitSettings,
    ) -> anyhow::Result<()> {
        self.check_replaceable(old, transit)?;
        let mut json = keyring.to_json();
        if transit.is_set() {
            json = transit.encrypt(&json)?;
        }
        self.write_json(&json)
    }

    /// Rejects the replacement of a file with a key that `known` lacks: without this file, the key would be lost.
    fn check_replaceable(
        &self,
        known: &KeyringFile,
        transit: &TransitSettings,
    ) -> anyhow::Result<()> {
        let existing = self.output.as_ref().filter(|_| self.force);
        let Some(path) = existing.filter(|path| path.exists()) else {
            return Ok(());
        };
        let shown = path.display();
        let lost = KeyringFile::read(path, transit)
            .with_context(|| {
                format!(
                    "cannot tell which keys would be lost with {shown}; move it away, or write another file"
                )
            })?
            .keys_missing_in(known);
        if !lost.is_empty() {
            bail!(
                "{shown} has keys that the keyring of this command lacks ({}), and was left unchanged. Let \
                 --keyring-file (KHATA_KEYRING_FILE) name that file, move it away, or write another file",
                lost.join(", ")
            );
        }
        Ok(())
    }

    /// Writes the JSON document and a line break.
    fn write_json(&self, json: &[u8]) -> anyhow::Result<()> {
        let Some(path) = &self.output else {
            return Ok(write(&mut io::stdout().lock(), json)?);
        };
        let cannot = || format!("cannot write {}", path.display());
        if self.force {
            return replace(path, json).with_context(cannot);
        }
        match create(path, json) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                bail!("{} exists; replace it with --force", path.display())
            }
            result => result.with_context(cannot),
        }
    }
}

fn write(to: &mut impl Write, json: &[u8]) -> io::Result<()> {
    to.write_all(json)?;
    to.write_all(b"\n")?;
    to.flush()
}

/// Creates the file; removes it again if writing fails.
fn create(path: &Path, json: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path)?;
    let written = write(&mut file, json)
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_folder(path));
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

/// Writes a draft beside the file and renames it: a reader sees the old or the new file, even after a crash.
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
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
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
    fn a_file_is_private_and_overwritten_only_with_force() {
        let folder = folder();
        let path = folder.join("keyring.json");
        let output = |force| Output {
            output: Some(path.clone()),
            force,
        };
        let first = KeyringFile::generate();
        let (second, _) = first.clone().with_new_key().unwrap();
        let stored = || fs::read(&path).unwrap();
        let written = |keyring: &KeyringFile| [keyring.to_json().as_slice(), b"\n"].concat();

        let none = TransitSettings::default();
        output(false).write(&first, &none).unwrap();
        assert_eq!(stored(), written(&first));
        let error = output(false).write(&second, &none).unwrap_err().to_string();
        assert!(error.contains("--force"), "{error}");
        assert_eq!(stored(), written(&first));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        output(true).write(&second, &none).unwrap();
        assert_eq!(stored(), written(&second));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(&folder).unwrap().count(),
            1,
            "no draft is left"
        );
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_with_a_key_that_the_new_keyring_lacks_is_left() {
        let folder = folder();
        let path = folder.join("keyring.json");
        let output = Output {
            output: Some(path.clone()),
            force: true,
        };
        let none = TransitSettings::default();
        let old = KeyringFile::generate();
        let (both, _) = old.clone().with_new_key().unwrap();
        output.write(&both, &none).unwrap();
        let stored = || fs::read(&path).unwrap();
        let written = stored();
        for keyring in [&old, &KeyringFile::generate()] {
            let refused = [
                output.write(keyring, &none),
                output.write_plain(keyring, &none),
                output.write_pruned(&old, keyring, &none),
            ];
            for refused in refused {
                let error = refused.unwrap_err().to_string();
                assert!(error.contains("encryption key 2"), "{error}");
                assert!(stored() == written, "the file was changed");
            }
        }
        let pruned = both.clone().promoted().without(&[1]).unwrap();
        output.write_pruned(&both, &pruned, &none).unwrap();
        assert_eq!(KeyringFile::read(&path, &none).unwrap().ids(), [2]);

        fs::write(&path, "no keyring").unwrap();
        let error = output.write(&both, &none).unwrap_err().to_string();
        assert!(error.contains("cannot tell which keys"), "{error}");
        assert_eq!(stored(), b"no keyring");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_failed_replacement_leaves_the_file_unchanged() {
        let folder = folder();
        let path = folder.join("keyring.json");
        // Renaming a file over a folder fails.
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"{}").is_err());
        assert!(path.is_dir());
        assert_eq!(
            fs::read_dir(&folder).unwrap().count(),
            1,
            "no draft is left"
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
