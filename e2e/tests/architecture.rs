//! Holds the code to `docs/architecture.md`: which crate may use which, and no import cycle between files.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use syn::visit::Visit;

/// Crates that `khata-domain` must compile without.
const NOT_IN_THE_DOMAIN: [&str; 9] = [
    "actix-web",
    "diesel",
    "lapin",
    "opentelemetry",
    "opentelemetry_sdk",
    "reqwest",
    "tokio",
    "tracing",
    "tracing-opentelemetry",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A crate of the workspace.
struct Package {
    name: String,
    /// Folder, from the root of the repository.
    folder: String,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    is_optional: bool,
}

/// The workspace's crates with their dependencies; development dependencies are left out.
fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let root = metadata["workspace_root"].as_str().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let dependency = |dependency: &Value| Dependency {
        name: text(&dependency["name"]),
        is_optional: dependency["optional"] == true,
    };
    let package = |package: &Value| {
        let folder = text(&package["manifest_path"]);
        Package {
            name: text(&package["name"]),
            folder: folder
                .trim_start_matches(root)
                .trim_start_matches('/')
                .trim_end_matches("/Cargo.toml")
                .to_owned(),
            dependencies: package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|dependency| dependency["kind"] != "dev")
                .map(dependency)
                .collect(),
        }
    };
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(package)
        .collect()
}

/// The folders that each folder may use, from the table "Layout" of the page: place, contents, may use.
fn allowed() -> BTreeMap<String, Vec<String>> {
    let page = std::fs::read_to_string(repository().join("docs/architecture.md")).unwrap();
    let quoted = |cell: &str| -> Vec<String> {
        let parts = cell.split('`').skip(1).step_by(2);
        parts
            .map(|part| part.trim_matches('/').to_owned())
            .collect()
    };
    let mut allowed = BTreeMap::new();
    let rows = page
        .lines()
        .skip_while(|line| !line.starts_with("| place |"))
        .take_while(|line| line.starts_with('|'));
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [places, _, may_use] = cells[..] else {
            panic!("not three cells: {row}")
        };
        for place in quoted(places) {
            allowed.insert(place, quoted(may_use));
        }
    }
    assert!(
        allowed.len() > 12,
        "the table has too few rows: {allowed:?}"
    );
    allowed
}

fn may_use(allowed: &BTreeMap<String, Vec<String>>, from: &str, to: &str) -> bool {
    let Some(list) = allowed.get(from) else {
        panic!("docs/architecture.md does not say what `{from}` may use");
    };
    // `shared` means every crate in that folder except shared/testing.
    let below = |place: &str| to.starts_with(&format!("{place}/")) && to != "shared/testing";
    list.iter().any(|place| place == to || below(place))
}

#[test]
fn no_crate_depends_on_a_crate_that_the_architecture_page_forbids() {
    let (packages, allowed) = (packages(), allowed());
    let folders: BTreeMap<&str, &str> = packages
        .iter()
        .map(|package| (package.name.as_str(), package.folder.as_str()))
        .collect();
    let mut forbidden = Vec::new();
    for package in &packages {
        for dependency in &package.dependencies {
            let Some(to) = folders.get(dependency.name.as_str()) else {
                continue;
            };
            if !may_use(&allowed, &package.folder, to) {
                forbidden.push(format!("{} -> {to}", package.folder));
            }
        }
    }
    assert_eq!(forbidden, Vec::<String>::new());
}

#[test]
fn the_domain_compiles_without_database_broker_runtime_and_telemetry() {
    let packages = packages();
    let domain = packages
        .iter()
        .find(|package| package.name == "khata-domain")
        .unwrap();
    let found: Vec<&str> = domain
        .dependencies
        .iter()
        .filter(|dependency| !dependency.is_optional)
        .map(|dependency| dependency.name.as_str())
        .filter(|name| NOT_IN_THE_DOMAIN.contains(name))
        .collect();
    assert_eq!(found, Vec::<&str>::new());
}

#[test]
fn no_source_file_names_a_crate_that_the_architecture_page_forbids() {
    let (packages, allowed) = (packages(), allowed());
    let mut forbidden = Vec::new();
    for package in &packages {
        for file in Crate::read(&repository().join(&package.folder)).files {
            let named: BTreeSet<&str> = file
                .paths
                .iter()
                .filter_map(|path| path.first())
                .map(String::as_str)
                .collect();
            for other in &packages {
                let is_named = named.contains(other.name.replace('-', "_").as_str());
                let is_own = other.name == package.name;
                if is_named && !is_own && !may_use(&allowed, &package.folder, &other.folder) {
                    forbidden.push(format!("{} -> {}", file.path.display(), other.folder));
                }
            }
        }
    }
    assert_eq!(forbidden, Vec::<String>::new());
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut circles = Vec::new();
    for package in packages() {
        let read = Crate::read(&repository().join(&package.folder));
        for circle in circles_of(&read.imports()) {
            let names: Vec<String> = circle
                .iter()
                .map(|&index| read.files[index].path.display().to_string())
                .collect();
            circles.push(format!("{}: {}", package.folder, names.join(", ")));
        }
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

/// The source files of one crate.
struct Crate {
    files: Vec<File>,
}

struct File {
    /// From the folder `src`.
    path: PathBuf,
    /// Path of the module, from the root of the crate.
    module: Vec<String>,
    /// Every path that the file's code names, tests left out.
    paths: BTreeSet<Vec<String>>,
    /// Imports: the name in this file, and the path that it names.
    uses: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
}

impl Crate {
    fn read(folder: &Path) -> Self {
        let source = folder.join("src");
        let mut files = Vec::new();
        let mut folders = vec![source.clone()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let relative = path.strip_prefix(&source).unwrap().to_owned();
                    let is_for_tests = path.file_stem().is_some_and(|stem| stem == "tests")
                        || relative
                            .components()
                            .any(|part| part.as_os_str() == "tests");
                    if !is_for_tests {
                        files.push(File::read(&path, relative));
                    }
                }
            }
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Self { files }
    }

    fn file_of(&self, module: &[String]) -> Option<usize> {
        self.files.iter().position(|file| file.module == module)
    }

    /// For each file the files that it imports from.
    fn imports(&self) -> Vec<BTreeSet<usize>> {
        let imports_of = |index: usize| {
            let file = &self.files[index];
            let imported = file
                .paths
                .iter()
                .filter_map(|path| self.resolve(index, path, 0));
            imported.filter(|&other| other != index).collect()
        };
        (0..self.files.len()).map(imports_of).collect()
    }

    /// The file that defines what a path in this file names, re-exports followed; `None` outside the crate.
    fn resolve(&self, index: usize, path: &[String], depth: usize) -> Option<usize> {
        let file = &self.files[index];
        let (mut module, rest) = match path.first()?.as_str() {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (file.module.clone(), &path[1..]),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let kept = file.module.len().checked_sub(ups)?;
                (file.module[..kept].to_vec(), &path[ups..])
            }
            first => {
                let mut child = file.module.clone();
                child.push(first.to_owned());
                self.file_of(&child)?;
                (file.module.clone(), path)
            }
        };
        let mut current = self.file_of(&module)?;
        for (position, part) in rest.iter().enumerate() {
            module.push(part.clone());
            if let Some(next) = self.file_of(&module) {
                current = next;
                continue;
            }
            // A re-export leads on; where it does not, the item is defined here.
            if depth < 8
                && current != index
                && let Some(target) = self.files[current].uses.get(part)
            {
                let onward = [target.as_slice(), &rest[position + 1..]].concat();
                return self.resolve(current, &onward, depth + 1).or(Some(current));
            }
            return Some(current);
        }
        Some(current)
    }
}

impl File {
    fn read(path: &Path, relative: PathBuf) -> Self {
        let mut module: Vec<String> = relative
            .with_extension("")
            .components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        let last = module.last().unwrap();
        let is_root = module.len() == 1 && (last == "lib" || last == "main");
        if is_root && !(last == "main" && path.with_file_name("lib.rs").exists()) {
            module.clear();
        }
        let mut file = Self {
            path: relative,
            module,
            paths: BTreeSet::new(),
            uses: BTreeMap::new(),
            globs: Vec::new(),
        };
        let text = std::fs::read_to_string(path).unwrap();
        let parsed =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        file.visit_file(&parsed);
        let globs = std::mem::take(&mut file.globs);
        file.paths.extend(globs);
        file
    }

    fn add_use(&mut self, before: &[String], tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                let before = [before, &[path.ident.to_string()]].concat();
                self.add_use(&before, &path.tree);
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                let here = before.last().cloned().unwrap_or_default();
                self.bring_in(here, before.to_vec());
            }
            syn::UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.bring_in(name.clone(), [before, &[name]].concat());
            }
            syn::UseTree::Rename(rename) => {
                let path = [before, &[rename.ident.to_string()]].concat();
                self.bring_in(rename.rename.to_string(), path);
            }
            syn::UseTree::Glob(_) => self.globs.push(before.to_vec()),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_use(before, tree);
                }
            }
        }
    }

    fn bring_in(&mut self, name: String, path: Vec<String>) {
        self.paths.insert(path.clone());
        self.uses.insert(name, path);
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Meta>()
                .is_ok_and(|condition| condition.path().is_ident("test"))
    })
}

impl<'ast> Visit<'ast> for File {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.add_use(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let parts = path.segments.iter().map(|part| part.ident.to_string());
            self.paths.insert(parts.collect());
        }
        syn::visit::visit_path(self, path);
    }
}

/// The strongly connected groups of more than one node (Tarjan's algorithm, by reachability: the graphs are small).
fn circles_of(edges: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let reachable = |from: usize| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(node) = open.pop() {
            for &next in &edges[node] {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let reach: Vec<BTreeSet<usize>> = (0..edges.len()).map(reachable).collect();
    let mut circles: Vec<Vec<usize>> = Vec::new();
    for node in 0..edges.len() {
        if !reach[node].contains(&node) || circles.iter().flatten().any(|&known| known == node) {
            continue;
        }
        let circle = (0..edges.len()).filter(|&other| {
            other == node || (reach[node].contains(&other) && reach[other].contains(&node))
        });
        circles.push(circle.collect());
    }
    circles
}

#[test]
fn a_circle_is_found_and_a_chain_is_none() {
    let edges = |pairs: &[(usize, usize)]| {
        let mut edges = vec![BTreeSet::new(); 4];
        for &(from, to) in pairs {
            edges[from].insert(to);
        }
        edges
    };
    assert_eq!(
        circles_of(&edges(&[(0, 1), (1, 2), (0, 2)])),
        Vec::<Vec<usize>>::new()
    );
    assert_eq!(
        circles_of(&edges(&[(0, 1), (1, 2), (2, 1), (2, 3)])),
        [vec![1, 2]]
    );
}
