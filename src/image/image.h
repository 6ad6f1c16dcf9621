/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image: templates that are OCI images: their names, their documents, and the store on disk.
 *
 * This library is linked into `ward` and knows neither network nor compression: it parses names
 * and documents, and reads and commits what is in the store.  Bytes from outside are the business
 * of two helpers that `ward` starts for one job at a time (image_helper_run).  `ward-registry`
 * (fetch, push) sees the network and the registry's credentials, and of the files only the blob
 * directory; it commits blobs whose digest and size are right.  `ward-image` (unpack, import, pack,
 * compose) sees blobs or one directory, and no network.
 *
 * The store is <data>/templates/, 0700:
 *
 *	blobs/sha256/HEX          content; its digest and size were checked before it got this name
 *	blobs/sha256/HEX.partial  a download that may be resumed; locked by who is at it
 *	blobs/partial/            files that an import is writing
 *	refs/NAME                 a record (JSON) for each reference; its rename is the template
 *	layers/IDS/DIFFID/        unpacked layers, for one mapping of ids
 *	cache/KEY                 which layer a step of a build has made
 *	builds/ID/                what a step of a running build has in hand
 *	leases/ID                 held by a running build, see lease.c
 *	lock, content.lock        see enum image_lock
 *
 * Invariants: a blob HEX has its content complete; a record is written only when every
 * blob of its image is there; whatever has no record (and no sandbox) is garbage, which
 * image_store_gc collects, so a kill at any moment leaves no template that is half there.
 */
#ifndef WARD_IMAGE_IMAGE_H
#define WARD_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/proxy.h"

enum {
	IMAGE_DIGEST_LEN = 71, /* "sha256:" and 64 lower-case hexadecimal digits */
	IMAGE_HEX_LEN = 64,
	IMAGE_DOCUMENT_MAX = 4 << 20, /* bytes of an index, a manifest or a configuration */
	IMAGE_LAYERS_MAX = 127,
	IMAGE_INDEX_MAX = 1024,	   /* entries of an index */
	IMAGE_INDEX_DEPTH_MAX = 2, /* an index within an index, and no more */
};
#define IMAGE_BLOB_MAX ((uint64_t)64 << 30) /* bytes of one layer */
/* What of a layer, or of an archive that is added, may come out of so many compressed bytes. */
enum { IMAGE_ENTRIES_MAX = 4000000, IMAGE_RATIO_MAX = 200, IMAGE_STREAM_MIN = 256 << 20 };
static inline uint64_t image_stream_max(uint64_t size)
{
	if (size > IMAGE_BLOB_MAX)
		size = IMAGE_BLOB_MAX;
	return size * IMAGE_RATIO_MAX < IMAGE_STREAM_MIN ? IMAGE_STREAM_MIN
							 : size * IMAGE_RATIO_MAX;
}

/* --- references (reference.c; pure) ----------------------------------------------------------- */

enum image_source {
	IMAGE_REGISTRY,	      /* [HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST] */
	IMAGE_OCI_DIR,	      /* oci:DIR[:TAG] */
	IMAGE_OCI_ARCHIVE,    /* oci-archive:FILE[:TAG] */
	IMAGE_DOCKER_ARCHIVE, /* docker-archive:FILE[:REF] */
	IMAGE_DIR,	      /* dir:ROOTFS */
	IMAGE_DOCKER_DAEMON,  /* docker-daemon:REF */
	IMAGE_SOURCE_MAX
};

/* What was written, taken apart.  The strings are owned; those that do not belong to the source are
 * NULL. */
struct image_ref {
	enum image_source source;
	char *host;	  /* registry, docker-daemon: "docker.io", "localhost:5000" */
	char *repository; /* registry, docker-daemon: "library/python" */
	char *tag;	  /* NULL when a digest was given; "latest" when neither was; sources with a
			     path: what stands behind it, or NULL */
	char *digest;	  /* "sha256:…" or NULL */
	char *path;	  /* sources with a path */
};
void image_ref_clear(struct image_ref *r);
#define auto_image_ref __attribute__((cleanup(image_ref_clear))) struct image_ref
/*
 * By the rules of Docker: a first component with a dot, a colon or "localhost" is a host, else it
 * is docker.io; a single component there is in library/.  ERR_USAGE names what is wrong.
 */
int image_ref_parse(const char *text, struct image_ref *ret, struct err *e);
/* The one way to write it: "docker.io/library/python:3-slim", "oci:/a/b:tag"; by it the store knows
 * a template. Owned by the caller. */
char *image_ref_canonical(const struct image_ref *r);
/* As people write it: "python:3-slim". Owned by the caller. */
char *image_ref_familiar(const struct image_ref *r);
/* "docker.io/library/python" or "python", without tag and digest. Owned by the caller. */
char *image_ref_name(const struct image_ref *r, bool familiar);

/* --- digests ---------------------------------------------------------------------------------- */

/* Exactly "sha256:" and 64 lower-case digits. */
bool image_digest_ok(const char *s);
/* The same with a message: another algorithm is refused by its name. ERR_INPUT. */
int image_digest_check(const char *what, const char *s, struct err *e);
/* The 64 digits of a digest that is ok. Borrowed. */
const char *image_digest_hex(const char *digest);

/* --- documents (oci.c; pure; OCI image-spec 1.1, Docker image manifest schema 2) ---------------
 */

enum image_media {
	IMAGE_MEDIA_UNKNOWN,
	IMAGE_MEDIA_INDEX,	/* OCI index, Docker manifest list */
	IMAGE_MEDIA_MANIFEST,	/* OCI manifest, Docker manifest schema 2 */
	IMAGE_MEDIA_CONFIG,	/* OCI and Docker */
	IMAGE_MEDIA_LAYER_TAR,	/* uncompressed */
	IMAGE_MEDIA_LAYER_GZIP, /* also Docker's rootfs.diff.tar.gzip */
	IMAGE_MEDIA_LAYER_ZSTD,
	IMAGE_MEDIA_FOREIGN, /* layers that are elsewhere: refused */
	IMAGE_MEDIA_SCHEMA1, /* Docker's first schema: refused */
	IMAGE_MEDIA_MAX
};
enum image_media image_media_of(const char *media_type);

struct image_descriptor {
	char *media_type;
	char *digest; /* ok */
	uint64_t size;
};
void image_descriptor_clear(struct image_descriptor *d);

struct image_platform {
	char *os;
	char *architecture; /* "amd64", "arm64" */
	char *variant;	    /* "v8" or NULL */
};
void image_platform_clear(struct image_platform *p);
/* "linux/amd64", "linux/arm64/v8", "arm64"; NULL: this machine's. ERR_USAGE. */
int image_platform_parse(const char *text, struct image_platform *ret, struct err *e);
char *image_platform_text(const struct image_platform *p);

struct image_manifest {
	struct image_descriptor config;
	struct image_descriptor *layers; /* the lowest first */
	size_t nlayers;			 /* 0..IMAGE_LAYERS_MAX */
	struct json *annotations;	 /* or NULL */
};
void image_manifest_clear(struct image_manifest *m);
#define auto_image_manifest __attribute__((cleanup(image_manifest_clear))) struct image_manifest

/*
 * A document whose own idea of its type differs from the one it was served or referenced as, or
 * that has the members of both an index and a manifest, is refused (CVE-2021-41190).  ERR_INPUT.
 */
/* What a document is: `declared` is the Content-Type or the descriptor's media type; NULL or
 * unknown: by the document alone. */
int image_document_media(const char *text, size_t n, const char *declared, enum image_media *ret,
			 struct err *e);
int image_manifest_parse(const char *text, size_t n, struct image_manifest *ret, struct err *e);
/* The entry for a platform, copied. ERR_NOT_FOUND lists those that there are. */
int image_index_choose(const char *text, size_t n, const struct image_platform *want,
		       struct image_descriptor *ret, struct err *e);

struct image_history {
	char *created;
	char *created_by;
	char *comment;
	bool empty_layer;
};

/* What of an image's configuration matters here.  Nothing else of it has any effect: it adds no
 * mounts, capabilities, devices, variables of the host, ports or flags. */
struct image_config {
	char *os;
	char *architecture;
	char *variant;
	char *created;	   /* RFC 3339 or NULL */
	struct strv env;   /* "K=V", checked; entries without '=' are dropped */
	char *working_dir; /* absolute and normalised, or NULL */
	char *user;	   /* "NAME|UID[:GROUP|GID]", syntax checked; or NULL */
	struct strv entrypoint;
	struct strv cmd;
	struct strv shell;
	struct strv on_build; /* instructions for a build that begins with it */
	struct strv diff_ids; /* digests of the uncompressed layers */
	struct json *labels;  /* object of strings, or NULL; data only */
	struct image_history *history;
	size_t nhistory;
};
void image_config_clear(struct image_config *c);
#define auto_image_config __attribute__((cleanup(image_config_clear))) struct image_config
int image_config_parse(const char *text, size_t n, struct image_config *ret, struct err *e);

/* --- the store (store.c, refs.c, gc.c) ---------------------------------------------------------
 */

struct image_store {
	char *dir; /* <data>/templates */
	int fd;
};
/* Open, and make what is missing. */
int image_store_open(const char *data_dir, struct image_store *ret, struct err *e);
void image_store_close(struct image_store *s);
#define auto_image_store __attribute__((cleanup(image_store_close))) struct image_store

enum image_lock {
	/* Held shared from looking up a template until the sandbox that uses it is stored, and
	 * exclusively while a template is removed. Short. */
	IMAGE_LOCK_REFS,
	/* Held shared while blobs or layers are added that no record names yet, and exclusively
	 * while garbage is collected. May be long. */
	IMAGE_LOCK_CONTENT,
};
/* Waits, unless `wait` is false: then -EWOULDBLOCK. Closing the descriptor unlocks. */
int image_store_lock(const struct image_store *s, enum image_lock which, bool exclusive, bool wait,
		     int *ret_fd, struct err *e);

/*
 * A lease (lease.c): as long as it is held, image_store_gc leaves what was made or touched since it
 * began.  A long build holds one, and IMAGE_LOCK_CONTENT just for moments, so that collecting does
 * not wait for it.
 */
struct image_lease {
	const struct image_store *store; /* borrowed */
	char *name;
	int fd;
};
#define IMAGE_LEASE_INIT ((struct image_lease){ .fd = -1 })
/* Waits for who is collecting. */
int image_lease_begin(const struct image_store *s, struct image_lease *ret, struct err *e);
void image_lease_end(struct image_lease *l);
/* Use what is there already: a layer, or an image with all that it leads to. The caller holds
 * IMAGE_LOCK_CONTENT. */
struct image_layer;
void image_lease_layer(const struct image_store *s, const struct image_layer *l);
void image_lease_image(const struct image_store *s, const char *manifest);
/* For image_store_gc: when the oldest lease began that somebody holds; false: nobody does. */
bool image_lease_oldest(const struct image_store *s, struct timespec *ret);
bool image_time_before(const struct timespec *a, const struct timespec *b);

/* Is the blob there, with this size (0: any)? */
bool image_store_has(const struct image_store *s, const char *digest, uint64_t size);
/* Open a blob for reading. ERR_CORRUPT when it is missing: a record named it. */
int image_store_blob(const struct image_store *s, const char *digest, int *ret_fd,
		     uint64_t *ret_size, struct err *e);
/* Read a document of at most IMAGE_DOCUMENT_MAX bytes; *out is emptied first. */
int image_store_document(const struct image_store *s, const char *digest, struct buf *out,
			 struct err *e);

/* One template: refs/NAME. */
struct image_record {
	char *reference;  /* canonical */
	char *digest;	  /* what the reference stood for: an index or a manifest */
	char *media_type; /* of that */
	char *manifest; /* digest of this machine's manifest; the same as digest without an index */
	int64_t pulled_at; /* seconds since the epoch */
	char *problem;	   /* image_store_list: why the record cannot be used; else NULL */
};
void image_record_clear(struct image_record *r);
#define auto_image_record __attribute__((cleanup(image_record_clear))) struct image_record
/* Commit a record, replacing an older one of the same reference. */
int image_store_tag(const struct image_store *s, const struct image_record *r, struct err *e);
/* By canonical reference. ERR_NOT_FOUND, without hint, when there is none. */
int image_store_lookup(const struct image_store *s, const char *reference, struct image_record *ret,
		       struct err *e);
/* All of them, sorted by reference; a damaged one has a problem and hides nothing. */
int image_store_list(const struct image_store *s, struct image_record **ret, size_t *ret_n,
		     struct err *e);
void image_record_list_free(struct image_record *v, size_t n);
/* Remove the record; the content is left to image_store_gc. The caller holds IMAGE_LOCK_REFS. */
int image_store_untag(const struct image_store *s, const char *reference, struct err *e);

/*
 * Remove what no record and no manifest of `in_use` (digests that sandboxes have) leads to.  The
 * caller holds IMAGE_LOCK_CONTENT exclusively.
 */
enum {
	IMAGE_GC_DRY_RUN = 1,	   /* only count */
	IMAGE_GC_KEEP_PARTIAL = 2, /* downloads that were interrupted stay */
	IMAGE_GC_DROP_CACHE = 4,   /* layers that only the cache of builds leads to go */
};
struct image_gc {
	size_t blobs, partials, layers, builds;
	uint64_t bytes; /* on disk */
};
/* Remove dirfd/name, an unpacked layer, whose files may belong to ids that only a box has. */
typedef int image_remove_fn(int dirfd, const char *name, struct err *e);
int image_store_gc(const struct image_store *s, const struct strv *in_use, unsigned flags,
		   image_remove_fn *remove_layer, struct image_gc *ret, struct err *e);
/* Bytes of all that a record leads to, blobs and unpacked layers; what it shares with others is
 * counted too. */
uint64_t image_store_size(const struct image_store *s, const struct image_record *r);

/* Write a template to fd as an OCI archive (save.c). */
int image_save(const struct image_store *s, const struct image_record *rec, int fd, struct err *e);

/* Read manifest and configuration of a manifest that is in the store. Either may be NULL. */
int image_store_read(const struct image_store *s, const char *manifest_digest,
		     struct image_manifest *m, struct image_config *c, struct err *e);

/* --- the helper (helper.c) ---------------------------------------------------------------------
 */

/*
 * Protocol: argv is the helper's name and a verb; descriptor 0 is a sealed memory file with the
 * request (JSON), 1 a pipe for events, one JSON object a line, 2 standard error; further
 * descriptors follow from 3. The last event is {"event":"result",…} or
 * {"event":"error","kind":N,"code":N,"message":…,"hint":…}. Lines above IMAGE_EVENT_MAX, malformed
 * ones and a helper that ends without either are errors.
 */
enum { IMAGE_EVENT_MAX = 64 << 10 };

typedef int image_event_fn(const char *event, const struct json *j, void *arg, struct err *e);
struct image_job {
	const char *helper; /* absolute path */
	const char *name;   /* argv[0]; NULL: the last component of the path */
	const char *verb;
	const struct json *request;
	char *const *env; /* NULL: empty */
	const int *fds;	  /* become 3, 4, … */
	size_t nfds;
	image_event_fn *event; /* a failure of it ends the helper; may be NULL */
	void *arg;
};
/* Run to the end. *ret_result (may be NULL) is the result event. */
int image_helper_run(const struct image_job *job, struct json **ret_result, struct err *e);

/* --- registries (pull.c) -----------------------------------------------------------------------
 */

struct image_registry {
	const char *helper;	 /* absolute path of ward-registry */
	struct json *registries; /* config.yaml's, see struct spec_config; or NULL */
	/* Of the user's company; its file of certificate authorities is for every registry. */
	const struct proxies *proxies;
	const char *platform; /* image_platform_parse; NULL: this machine's */
	/* "blob" {digest, size, have, state: queued waiting downloading done exists uploading},
	 * "manifest" {digest}: it and its configuration are in the store, the layers come now, and
	 * "note" {text: foreign, of one line}; the engine adds "unpacking" (no object): all is
	 * downloaded, and not all unpacked; may be NULL.  While it is downloading the first
	 * `have` bytes of a blob are in HEX.partial; when `have` becomes less it begins anew. */
	image_event_fn *event;
	void *arg;
};
/*
 * Bring an image into the store and record it, unless the record that is there is complete and
 * still what the registry has (then *ret_changed is false).  After a failure the old record stands;
 * what was downloaded is continued by the next try or collected.
 */
int image_pull(const struct image_store *s, const struct image_ref *ref,
	       const struct image_registry *how, struct image_record *ret, bool *ret_changed,
	       struct err *e);
/* Send a manifest of the store, with all that it leads to, to a registry. `to` has a tag. */
int image_push(const struct image_store *s, const char *manifest, const struct image_ref *to,
	       const struct image_registry *how, struct err *e);
/* A record from the result of a helper: members digest, media_type and manifest. */
int image_record_of(const struct json *result, const char *reference, struct image_record *ret,
		    struct err *e);

/* --- images of one's own (compose.c) -----------------------------------------------------------
 */

/* A layer that is in the store and in no image yet. */
struct image_layer {
	char *digest;
	char *diff_id;
	uint64_t size;	  /* of the blob */
	uint64_t entries; /* 0: it changes nothing */
	uint64_t bytes;	  /* of file data */
	uint64_t devices; /* sockets and devices that were left out */
	uint64_t names;	  /* left out, because they begin with .wh. */
	uint64_t xattrs;  /* attributes that were left out */
};
void image_layer_clear(struct image_layer *l);
#define auto_image_layer __attribute__((cleanup(image_layer_clear))) struct image_layer

/*
 * A directory that a box has filled: an overlay's upper one (mounted with `userxattr`; its
 * whiteouts and opaque marks become the layer's), or any other.  It must not change meanwhile.  The
 * paths are relative to it, plain, and mean everything below them, too.
 */
enum { IMAGE_TREES_MAX = 4 };
struct image_tree {
	int fd;			      /* O_RDONLY */
	const char *prefix;	      /* where it is in the layer: "", "home/agent" */
	const struct strv *leave_out; /* "NAME*": all that begins so; NULL: nothing */
	/* Left out under whatever name a hard link gives them, and what they lead to by symbolic
	 * links, in this tree or another one; that one is removed is not. */
	const struct strv *secret;
	/* Directories that count only when there is something in them. */
	const struct strv *if_filled;
	int64_t owner; /* uid and gid of everything in it; -1: as it is */
};
#define IMAGE_TREE_INIT ((struct image_tree){ .fd = -1, .prefix = "", .owner = -1 })

/*
 * Writing a layer: image_pack_begin makes a file, `ward-image pack` (verb "pack", request
 * image_pack_request, descriptors: the file, then each tree) fills it as root of the ids that own
 * the trees, image_pack_commit names the blob.  engine's native_layer_pack does all three.  The
 * caller holds IMAGE_LOCK_CONTENT or a lease; a kill in between leaves garbage only.
 */
struct image_pack {
	const struct image_store *store;
	char name[32]; /* in blobs/partial; "" when there is none */
	int fd;
};
int image_pack_begin(const struct image_store *s, struct image_pack *ret, struct err *e);
struct json *image_pack_request(const struct image_tree *trees, size_t n);
/* result: what the helper said. */
int image_pack_commit(struct image_pack *p, const struct json *result, struct image_layer *ret,
		      struct err *e);
void image_pack_clear(struct image_pack *p);
#define auto_image_pack __attribute__((cleanup(image_pack_clear))) struct image_pack

/* An image out of another one, by layers on top and changes of its configuration. */
struct image_composition {
	const char *helper;		  /* absolute path of ward-image */
	const char *base;		  /* manifest in the store; NULL: nothing */
	const char *platform;		  /* without a base; NULL: this machine's */
	const struct image_layer *layers; /* the lowest first */
	size_t nlayers;
	/* An entry without empty_layer stands for the next of the layers. Of layers without entry
	 * it is said that they were added. */
	const struct image_history *history;
	size_t nhistory;
	const char *created; /* RFC 3339 */
	struct json *config; /* members replace those of the base's "config"; or NULL */
};
/*
 * Write its documents into the store and, with a reference (canonical, or NULL), record it: in one
 * rename, when everything else is there.  Without, it is garbage until it is the base of another
 * one or recorded.  Its manifest is OCI's; what the base's configuration says besides stays.  The
 * caller holds IMAGE_LOCK_CONTENT.
 */
int image_compose(const struct image_store *s, const struct image_composition *c,
		  const char *reference, struct image_record *ret, struct err *e);

/* --- builds (build_cache.c) --------------------------------------------------------------------
 */

#define IMAGE_CACHE_DIR	 "cache"  /* of the store: the layers of steps that were built before */
#define IMAGE_BUILDS_DIR "builds" /* and what the steps of running builds have in hand */
/* The layer that a step with this key (64 hexadecimal digits) has made, and when (RFC 3339; owned
 * by the caller). -ENOENT without a message. */
int image_cache_find(const struct image_store *s, const char *key, struct image_layer *ret,
		     char **ret_created);
int image_cache_add(const struct image_store *s, const char *key, const struct image_layer *l,
		    const char *created, struct err *e);
/* For the collection of garbage: the record in the directory. */
int image_cache_read(int dirfd, const char *key, struct image_layer *ret, char **ret_created);

#endif
