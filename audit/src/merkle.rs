//! The RFC 9162 Merkle tree over SHA-256.
//!
//! A tree of `n` leaves is never held whole. What is kept is a [`CompactRange`], the roots of the
//! perfect subtrees that make up the tree, largest first. It is enough to append leaves, to give
//! the root, and to prove the leaves just appended. Older proofs read nodes through a
//! [`HashSource`].

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::encoding;
use crate::primitives;

/// The largest tree this crate handles; positions are a Postgres `bigint` and fit JSON numbers.
pub const MAX_SIZE: u64 = (1 << 53) - 1;

/// The longest proof a tree of at most [`MAX_SIZE`] leaves can need, consistency included.
pub const MAX_PROOF: usize = 64;

/// A SHA-256 hash in the tree. Written as standard base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads a hash from a slice of exactly 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Reads a hash from standard base64.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        encoding::hash_from_base64(text).map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encoding::base64(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Hash {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Hash".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9+/]{43}=$" })
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_base64(&text)
            .ok_or_else(|| serde::de::Error::custom("expected 32 bytes in standard base64"))
    }
}

/// What can be wrong with a tree, a proof or the parameters of one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MerkleError {
    /// A compact range with the wrong number of bytes for its size.
    #[error("a compact range of size {size} has {expected} bytes, not {actual}")]
    RangeLength {
        /// Leaves in the tree.
        size: u64,
        /// Bytes it must have.
        expected: usize,
        /// Bytes it has.
        actual: usize,
    },
    /// The tree is larger than [`MAX_SIZE`].
    #[error("a tree of {0} leaves is larger than this format allows")]
    TooLarge(u64),
    /// The leaf is not in the tree.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    OutOfRange {
        /// The leaf asked for.
        index: u64,
        /// Leaves in the tree.
        size: u64,
    },
    /// A consistency proof was asked for or offered from a larger tree to a smaller one.
    #[error("a tree of {old} leaves cannot grow into one of {new}")]
    Shrinks {
        /// The older size.
        old: u64,
        /// The newer size.
        new: u64,
    },
    /// Every tree grows out of the empty one, which therefore proves nothing.
    #[error("consistency with the empty tree proves nothing")]
    EmptyOld,
    /// The proof has the wrong number of hashes.
    #[error("the proof has {actual} hashes where {expected} are needed")]
    ProofLength {
        /// Hashes needed.
        expected: usize,
        /// Hashes offered.
        actual: usize,
    },
    /// The proof leads to another root.
    #[error("the proof does not lead to the root")]
    RootMismatch,
    /// A source did not have a node that the tree must contain.
    #[error("node {index} of level {level} is missing")]
    MissingNode {
        /// Height above the leaves.
        level: u8,
        /// Index within the level.
        index: u64,
    },
}

/// SHA-256 of a leaf: `SHA-256(0x00 || data)`.
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    Hash(primitives::sha256(&[&[0], data]))
}

/// SHA-256 of an inner node: `SHA-256(0x01 || left || right)`.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(primitives::sha256(&[&[1], &left.0, &right.0]))
}

/// The root of the tree without leaves: `SHA-256("")`.
#[must_use]
pub fn empty_root() -> Hash {
    Hash(primitives::sha256(&[]))
}

/// The root of a run of hashes of one level; their number is a power of two.
pub(crate) fn perfect_root(hashes: &[Hash]) -> Option<Hash> {
    if !hashes.len().is_power_of_two() {
        return None;
    }
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = level.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    level.first().copied()
}

/// The right edge of a tree: the roots of its perfect subtrees, largest first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CompactRange {
    size: u64,
    nodes: Vec<Hash>,
}

/// What [`CompactRange::append`] gives back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The position of the first appended leaf.
    pub first: u64,
    /// The size of the tree now.
    pub size: u64,
    /// The root of the tree now.
    pub root: Hash,
    /// For each appended leaf, in order, its inclusion proof in the tree of `size` leaves.
    pub proofs: Vec<Vec<Hash>>,
}

impl CompactRange {
    /// The tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves in the tree.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the perfect subtrees, largest first.
    #[must_use]
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Appends one leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        self.merge(0, leaf);
    }

    /// Appends the root of a perfect subtree of `2^height` leaves.
    ///
    /// # Errors
    /// Where the tree does not end at the beginning of such a subtree, or would grow beyond [`MAX_SIZE`].
    pub fn push_subtree(&mut self, height: u8, root: Hash) -> Result<(), MerkleError> {
        let width = 1u64.checked_shl(u32::from(height)).filter(|width| *width <= MAX_SIZE);
        let width = width.ok_or(MerkleError::TooLarge(u64::MAX))?;
        if !self.size.is_multiple_of(width) {
            return Err(MerkleError::OutOfRange { index: self.size, size: width });
        }
        match self.size.checked_add(width) {
            Some(size) if size <= MAX_SIZE => self.merge(height, root),
            _ => return Err(MerkleError::TooLarge(u64::MAX)),
        }
        Ok(())
    }

    /// One merge for every trailing one bit of the size above that height, as in a binary counter.
    fn merge(&mut self, height: u8, root: Hash) {
        let mut node = root;
        for _ in 0..(self.size >> height).trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.nodes.push(node);
        self.size += 1 << height;
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut nodes = self.nodes.iter().rev();
        match nodes.next() {
            None => empty_root(),
            Some(last) => nodes.fold(*last, |right, left| node_hash(left, &right)),
        }
    }

    /// Appends leaf hashes and proves each of them in the grown tree.
    ///
    /// A sibling to the left of an appended leaf is either a node of this range or was made from
    /// one just now, so nothing older has to be read.
    pub fn append(&mut self, leaves: &[Hash]) -> Appended {
        let first = self.size;
        let size = first + leaves.len() as u64;
        // By level: the index of the first node known there, and the nodes from there on.
        let mut levels: Vec<(u64, Vec<Hash>)> = Vec::new();
        let mut old_nodes = self.nodes.iter().rev();
        let mut carried: Vec<Hash> = leaves.to_vec();
        let mut level = 0u32;
        while !leaves.is_empty() {
            let mut start = first >> level;
            let mut nodes = carried;
            if start & 1 == 1
                && let Some(node) = old_nodes.next()
            {
                start -= 1;
                nodes.insert(0, *node);
            }
            let count = start + nodes.len() as u64;
            // A node without a right sibling moves up unchanged.
            carried = nodes
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => node_hash(left, right),
                    single => single[0],
                })
                .collect();
            levels.push((start, nodes));
            if count <= 1 {
                break;
            }
            level += 1;
        }
        let proofs = (first..size)
            .map(|leaf| {
                levels
                    .iter()
                    .enumerate()
                    .filter_map(|(level, (start, nodes))| {
                        let sibling = (leaf >> level) ^ 1;
                        let at = usize::try_from(sibling.checked_sub(*start)?).ok()?;
                        nodes.get(at).copied()
                    })
                    .collect()
            })
            .collect();
        for leaf in leaves {
            self.push(*leaf);
        }
        Appended { first, size, root: self.root(), proofs }
    }

    /// The nodes, concatenated, largest first.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.nodes.iter().flat_map(|node| node.0).collect()
    }

    /// Reads what [`CompactRange::to_bytes`] wrote for a tree of `size` leaves.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Result<Self, MerkleError> {
        if size > MAX_SIZE {
            return Err(MerkleError::TooLarge(size));
        }
        let expected = size.count_ones() as usize * 32;
        if bytes.len() != expected {
            return Err(MerkleError::RangeLength { size, expected, actual: bytes.len() });
        }
        let nodes = bytes.chunks_exact(32).filter_map(Hash::from_slice).collect();
        Ok(Self { size, nodes })
    }
}

/// A perfect subtree: `2^level` leaves beginning at `index * 2^level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// Height above the leaves.
    pub level: u8,
    /// Index within the level.
    pub index: u64,
}

/// Where the roots of perfect subtrees are read from.
pub trait HashSource {
    /// The root of the subtree.
    fn node(&self, node: Node) -> Result<Hash, MerkleError>;
}

/// All leaf hashes in memory.
impl HashSource for [Hash] {
    fn node(&self, node: Node) -> Result<Hash, MerkleError> {
        let missing = MerkleError::MissingNode { level: node.level, index: node.index };
        let width = 1usize << node.level.min(62);
        let start = usize::try_from(node.index).ok().and_then(|index| index.checked_mul(width));
        let leaves = start
            .and_then(|start| Some(start..start.checked_add(width)?))
            .and_then(|range| self.get(range));
        leaves.and_then(perfect_root).ok_or(missing)
    }
}

/// Nodes read beforehand.
impl HashSource for BTreeMap<Node, Hash> {
    fn node(&self, node: Node) -> Result<Hash, MerkleError> {
        self.get(&node)
            .copied()
            .ok_or(MerkleError::MissingNode { level: node.level, index: node.index })
    }
}

/// The perfect subtrees that make up the leaves `start..end`, left to right, where the range is a
/// subtree of an RFC 9162 tree (it starts at a multiple of the power of two that holds it).
#[must_use]
pub fn subtree_nodes(start: u64, end: u64) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut at = start;
    while at < end {
        let level = (end - at).ilog2() as u8;
        nodes.push(Node { level, index: at >> level });
        at += 1 << level;
    }
    nodes
}

/// The leaf ranges whose roots make up the inclusion proof, in the order of the proof.
pub fn inclusion_ranges(index: u64, size: u64) -> Result<Vec<(u64, u64)>, MerkleError> {
    if size > MAX_SIZE {
        return Err(MerkleError::TooLarge(size));
    }
    if index >= size {
        return Err(MerkleError::OutOfRange { index, size });
    }
    let mut ranges = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((start, middle));
            start = middle;
        }
    }
    ranges.reverse();
    Ok(ranges)
}

/// The leaf ranges whose roots make up the consistency proof, in the order of the proof.
pub fn consistency_ranges(old: u64, new: u64) -> Result<Vec<(u64, u64)>, MerkleError> {
    if new > MAX_SIZE {
        return Err(MerkleError::TooLarge(new));
    }
    if old > new {
        return Err(MerkleError::Shrinks { old, new });
    }
    if old == new {
        return Ok(Vec::new());
    }
    if old == 0 {
        return Err(MerkleError::EmptyOld);
    }
    let mut ranges = Vec::new();
    let (mut start, mut end) = (0, new);
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((start, middle));
            start = middle;
        }
    }
    // The subtree that ends where the old tree ended; known to the verifier if it is the old tree.
    if start != 0 {
        ranges.push((start, end));
    }
    ranges.reverse();
    Ok(ranges)
}

/// The largest power of two smaller than `size`, which is at least two.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

fn range_root<S: HashSource + ?Sized>(
    (start, end): (u64, u64),
    source: &S,
) -> Result<Hash, MerkleError> {
    let mut root = None;
    for node in subtree_nodes(start, end).into_iter().rev() {
        let hash = source.node(node)?;
        root = Some(match root {
            None => hash,
            Some(right) => node_hash(&hash, &right),
        });
    }
    Ok(root.unwrap_or_else(empty_root))
}

/// The root of the tree of the first `size` leaves.
pub fn tree_root<S: HashSource + ?Sized>(size: u64, source: &S) -> Result<Hash, MerkleError> {
    if size > MAX_SIZE {
        return Err(MerkleError::TooLarge(size));
    }
    range_root((0, size), source)
}

/// Proves that leaf `index` is in the tree of `size` leaves.
pub fn inclusion_proof<S: HashSource + ?Sized>(
    index: u64,
    size: u64,
    source: &S,
) -> Result<Vec<Hash>, MerkleError> {
    inclusion_ranges(index, size)?.into_iter().map(|range| range_root(range, source)).collect()
}

/// Proves that the tree of `old` leaves is a prefix of the tree of `new` leaves.
pub fn consistency_proof<S: HashSource + ?Sized>(
    old: u64,
    new: u64,
    source: &S,
) -> Result<Vec<Hash>, MerkleError> {
    consistency_ranges(old, new)?.into_iter().map(|range| range_root(range, source)).collect()
}

/// The root that a leaf and its inclusion proof lead to (RFC 9162, 2.1.3.2).
pub fn inclusion_root(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
) -> Result<Hash, MerkleError> {
    if size > MAX_SIZE {
        return Err(MerkleError::TooLarge(size));
    }
    if index >= size {
        return Err(MerkleError::OutOfRange { index, size });
    }
    // Levels where the path to the leaf and the path to the last leaf differ, then one hash for
    // every left sibling above.
    let inner = (u64::BITS - (index ^ (size - 1)).leading_zeros()) as usize;
    let border = (index.checked_shr(inner as u32).unwrap_or(0)).count_ones() as usize;
    if proof.len() != inner + border {
        return Err(MerkleError::ProofLength { expected: inner + border, actual: proof.len() });
    }
    let (lower, upper) = proof.split_at(inner);
    let mut root = *leaf;
    for (level, sibling) in lower.iter().enumerate() {
        root = if (index >> level) & 1 == 0 {
            node_hash(&root, sibling)
        } else {
            node_hash(sibling, &root)
        };
    }
    Ok(upper.iter().fold(root, |right, left| node_hash(left, &right)))
}

/// Checks an inclusion proof.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), MerkleError> {
    if inclusion_root(leaf, index, size, proof)? == *root {
        Ok(())
    } else {
        Err(MerkleError::RootMismatch)
    }
}

/// Checks a consistency proof (RFC 9162, 2.1.4.2).
///
/// Two trees of one size are consistent if their roots are equal and the proof is empty. No proof holds from the
/// empty tree, not even to itself: it would prove nothing.
pub fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), MerkleError> {
    if old > new {
        return Err(MerkleError::Shrinks { old, new });
    }
    if old == 0 {
        return Err(MerkleError::EmptyOld);
    }
    if new > MAX_SIZE {
        return Err(MerkleError::TooLarge(new));
    }
    let holds = |held: bool| if held { Ok(()) } else { Err(MerkleError::RootMismatch) };
    if old == new {
        if !proof.is_empty() {
            return Err(MerkleError::ProofLength { expected: 0, actual: proof.len() });
        }
        return holds(old_root == new_root);
    }
    // A perfect old tree is itself the first node of the path.
    let mut path = Vec::with_capacity(proof.len() + 1);
    if old.is_power_of_two() {
        path.push(*old_root);
    }
    path.extend_from_slice(proof);
    let shift = (old - 1).trailing_ones();
    let (mut node, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let mut hashes = path.into_iter();
    let short = MerkleError::ProofLength { expected: proof.len() + 1, actual: proof.len() };
    let Some(seed) = hashes.next() else { return Err(short) };
    let (mut from_old, mut from_new) = (seed, seed);
    for hash in hashes {
        if last == 0 {
            return Err(MerkleError::ProofLength {
                expected: proof.len() - 1,
                actual: proof.len(),
            });
        }
        if node & 1 == 1 || node == last {
            from_old = node_hash(&hash, &from_old);
            from_new = node_hash(&hash, &from_new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            from_new = node_hash(&from_new, &hash);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(short);
    }
    holds(from_old == *old_root && from_new == *new_root)
}
