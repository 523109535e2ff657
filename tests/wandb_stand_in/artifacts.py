"""Operations about artifacts: making them, finding them, and which run made and used them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tests.wandb_stand_in.graphql import GraphQLError, Operation, Variables, connection, operation, project_node
from tests.wandb_stand_in.runs import now, run_node
from tests.wandb_stand_in.state import ENTITY, Artifact, Run, Store


def given(v: Variables) -> Variables:
    """The arguments of a mutation, which some callers wrap in `input`."""
    return dict(v.get("input") or v)


@operation("ArtifactType")
def artifact_type(store: Store, v: Variables) -> dict[str, Any]:
    artifact = store.artifact_named(v.get("entity") or ENTITY, v.get("project") or "uncategorized", v["name"])
    return {"project": {"artifact": artifact and {"artifactType": {"name": artifact.type}}}}


@operation("XXHashDigestsEnabled")
def digests(_: Store, __: Variables) -> dict[str, Any]:
    return {"entity": {"xxhashDigestsEnabled": False}}


@operation("FetchArtifactDigestAlgorithm")
def digest_algorithm(_: Store, __: Variables) -> dict[str, Any]:
    return {"project": {"artifactType": None}}


@operation("CreateArtifact")
def create_artifact(store: Store, v: Variables) -> dict[str, Any]:
    """A new version, or the committed one that has the same digest already."""
    v = given(v)
    collection = v.get("artifactCollectionName") or v["artifactCollectionNames"][0]
    aliases = [alias["alias"] for alias in v.get("aliases") or []]
    versions = store.versions(v["entityName"], v["projectName"], collection)
    same = next((a for a in versions if a.digest == v["digest"]), None) if v.get("enableDigestDeduplication") else None
    if same is not None:
        store.give_aliases(same, aliases)
        store.note_logged(same, v.get("runName"))
        artifact = same
    else:
        identity = f"{v['entityName']}/{v['projectName']}/{collection}/{v['digest']}/{len(store.artifacts)}"
        artifact = Artifact(
            artifact_id="artifact-" + hashlib.sha256(identity.encode()).hexdigest()[:16],
            project=v["projectName"],
            entity=v["entityName"],
            type=v["artifactTypeName"],
            collection=collection,
            digest=v["digest"],
            run_id=v.get("runName"),
            aliases=aliases,
            metadata=json.loads(v.get("metadata") or "{}"),
            description=v.get("description"),
            client_id=v.get("clientID"),
            created=now(),
        )
        store.artifacts[artifact.artifact_id] = artifact
    latest = {"id": versions[-1].artifact_id, "versionIndex": versions[-1].version} if versions else None
    sequence = {"id": f"collection-{collection}", "latestArtifact": latest}
    node = {"id": artifact.artifact_id, "state": artifact.state, "artifactSequence": sequence}
    return {"createArtifact": {"artifact": node}}


def the_artifact(store: Store, artifact_id: str) -> Artifact:
    """The artifact of this id."""
    if artifact_id not in store.artifacts:
        raise GraphQLError(f"artifact {artifact_id} not found")
    return store.artifacts[artifact_id]


@operation("CreateArtifactManifest", "UpdateArtifactManifest")
def artifact_manifest(store: Store, v: Variables) -> dict[str, Any]:
    """The manifest's id is the artifact's, so that both operations find it."""
    artifact = the_artifact(store, v.get("artifactID") or v["artifactManifestID"].removeprefix("manifest-"))
    upload: dict[str, Any] = {"id": f"file-{artifact.artifact_id}"}
    if v.get("includeUpload"):
        upload |= {"uploadUrl": f"{store.url}/storage/manifests/{artifact.artifact_id}", "uploadHeaders": []}
    answer = {"artifactManifest": {"id": f"manifest-{artifact.artifact_id}", "file": upload}}
    return {"createArtifactManifest" if "artifactID" in v else "updateArtifactManifest": answer}


@operation("CreateArtifactFiles")
def create_artifact_files(store: Store, v: Variables) -> dict[str, Any]:
    nodes = []
    for file in given(v)["artifactFiles"]:
        path = f"artifacts/{file['artifactID']}/{quote(file['name'])}"
        node = {"storagePath": path, "uploadUrl": f"{store.url}/storage/{path}", "uploadHeaders": []}
        nodes.append({**node, "uploadMultipartUrls": None, "artifact": {"id": file["artifactID"]}})
    return {"createArtifactFiles": {"files": connection(nodes, len(nodes), None)}}


@operation("CommitArtifact")
def commit_artifact(store: Store, v: Variables) -> dict[str, Any]:
    artifact = the_artifact(store, given(v)["artifactID"])
    manifest = store.stored.get(f"/storage/manifests/{artifact.artifact_id}")
    if manifest is None:
        raise GraphQLError("artifact has no manifest")
    artifact.manifest = json.loads(manifest)
    if artifact.state != "COMMITTED":  # a client that lost the reply commits again
        store.commit(artifact)
    return {"commitArtifact": {"artifact": {"id": artifact.artifact_id, "digest": artifact.digest}}}


@operation("UseArtifact")
def use_artifact(store: Store, v: Variables) -> dict[str, Any]:
    v = given(v)
    artifact = the_artifact(store, v["artifactID"])
    run = store.run(v["entityName"], v["projectName"], v["runName"])
    if run is None:
        raise GraphQLError(f"run {v['runName']} not found")
    elsewhere = (artifact.entity, artifact.project) != (run.entity, run.project)
    name = f"{artifact.entity}/{artifact.project}/{artifact.name}" if elsewhere else artifact.name
    if name not in run.used_artifacts:
        run.used_artifacts.append(name)
    return {"useArtifact": {"artifact": artifact_node(artifact)}}


@operation("UpdateArtifact")
def update_artifact(store: Store, v: Variables) -> dict[str, Any]:
    v = given(v)
    artifact = the_artifact(store, v["artifactID"])
    if v.get("metadata") is not None:
        artifact.metadata = json.loads(v["metadata"])
    if v.get("description") is not None:
        artifact.description = v["description"]
    answer = {"artifact": artifact_node(artifact)}
    return {"updateArtifact": answer, "result": answer}


@operation("AddAliases")
def add_aliases(store: Store, v: Variables) -> dict[str, Any]:
    v = given(v)
    store.give_aliases(the_artifact(store, v["artifactID"]), [alias["alias"] for alias in v["aliases"]])
    return {"result": {"success": True}}


@operation("ArtifactMembershipByName")
def artifact_by_name(store: Store, v: Variables) -> dict[str, Any]:
    entity, name = v.get("entity") or ENTITY, v["project"]
    if (entity, name) not in store.projects:
        return {"project": None}
    artifact = store.artifact_named(entity, name, v["name"])
    return {"project": {"artifactCollectionMembership": artifact and membership(artifact)}}


@operation("ArtifactByID")
def artifact_by_id(store: Store, v: Variables) -> dict[str, Any]:
    artifact = store.artifacts.get(v["id"])
    return {"artifact": artifact and artifact_node(artifact)}


@operation("ClientIDMapping")
def client_id(store: Store, v: Variables) -> dict[str, Any]:
    found = next((a for a in store.artifacts.values() if a.client_id == v["clientID"]), None)
    return {"clientIDMapping": found and {"serverID": found.artifact_id}}


def lineage(names: Callable[[Run], list[str]]) -> Operation:
    """The answer to a query for a run's artifacts."""

    def answer(store: Store, v: Variables) -> dict[str, Any]:
        run = store.run(v["entity"], v["project"], v["run"])
        if run is None:
            return {"project": {"run": None}}
        found = [store.artifact_of(run, name) for name in names(run)]
        nodes = [artifact_node(artifact) for artifact in found if artifact is not None]
        return {"project": {"run": {"artifacts": connection(nodes, v.get("perPage") or 50, v.get("cursor"))}}}

    return answer


operation("RunInputArtifacts")(lineage(lambda run: run.used_artifacts))
operation("RunOutputArtifacts")(lineage(lambda run: run.logged_artifacts))


@operation("ArtifactCreatedBy", "ArtifactUsedBy")
def artifact_runs(store: Store, v: Variables) -> dict[str, Any]:
    artifact = the_artifact(store, v["id"])
    runs_there = [run for run in store.runs.values() if artifact.project == run.project]
    by = [run for run in runs_there if run.run_id == artifact.run_id]
    users = [run for run in runs_there if artifact.name in run.used_artifacts]
    nodes = [{**run_node(run), "project": project_node(run.entity, run.project)} for run in (*by, *users)]
    return {"artifact": {"createdBy": nodes[0] if by else None, "usedBy": connection(nodes[len(by) :], 1000, None)}}


@operation("FetchArtifactManifest", "ArtifactManifest")
def current_manifest(store: Store, v: Variables) -> dict[str, Any]:
    artifact = the_artifact(store, v.get("id") or v["artifact_id"])
    url = f"{store.url}/storage/manifests/{artifact.artifact_id}"
    return {"artifact": {"currentManifest": {"file": {"directUrl": url}}}}


@operation("ArtifactFileURLsByManifestEntries")
def artifact_file_urls(store: Store, v: Variables) -> dict[str, Any]:
    files = file_nodes(store, the_artifact(store, v["id"]))
    return {"artifact": {"filesByManifestEntries": connection(files, len(files), None)}}


@operation("GetArtifactMembershipFileUrls", "ArtifactMembershipFiles")
def membership_files(store: Store, v: Variables) -> dict[str, Any]:
    artifact = store.artifact_named(v["entity"], v["project"], f"{v['collection']}:{v['alias']}")
    if artifact is None:
        return {"project": {"artifactCollection": None}}
    files = connection(file_nodes(store, artifact), v.get("perPage") or 50, v.get("cursor"))
    collection = {"__typename": "ArtifactSequence", "artifactMembership": {"files": files}}
    return {"project": {"artifactCollection": collection}}


def file_nodes(store: Store, artifact: Artifact) -> list[dict[str, Any]]:
    """The files of an artifact; a version keeps files that it shares with an earlier one where that one put them."""
    nodes = []
    for name, entry in artifact.manifest.get("contents", {}).items():
        owner = entry.get("birthArtifactID") or artifact.artifact_id
        url = f"{store.url}/storage/artifacts/{owner}/{quote(name)}"
        node = {"__typename": "File", "id": f"file-{name}", "name": name, "directUrl": url, "url": url}
        node |= {"sizeBytes": entry.get("size", 0), "storagePath": None, "mimetype": None, "updatedAt": None}
        nodes.append({**node, "digest": entry["digest"], "md5": entry["digest"]})
    return nodes


def collection_node(artifact: Artifact) -> dict[str, Any]:
    """The collection of an artifact."""
    project_fields = project_node(artifact.entity, artifact.project)
    return {
        "__typename": "ArtifactSequence",
        "id": f"collection-{artifact.collection}",
        "name": artifact.collection,
    } | {"project": project_fields}


def artifact_node(artifact: Artifact) -> dict[str, Any]:
    """An artifact's fields."""
    aliases = [
        {"__typename": "ArtifactAlias", "id": alias, "alias": alias, "artifactCollection": collection_node(artifact)}
        for alias in artifact.aliases
    ]
    return {
        "__typename": "Artifact",
        "id": artifact.artifact_id,
        "artifactSequence": collection_node(artifact),
        "versionIndex": artifact.version,
        "artifactType": {"name": artifact.type},
        "description": artifact.description,
        "metadata": json.dumps(artifact.metadata),
        "ttlDurationSeconds": -2,
        "ttlIsInherited": True,
        "tags": [],
        "historyStep": None,
        "state": artifact.state,
        "size": sum(artifact.files.values()),
        "digest": artifact.digest,
        "digestAlgorithm": "MANIFEST_MD5",
        "commitHash": "",
        "fileCount": len(artifact.files),
        "createdAt": artifact.created,
        "updatedAt": None,
        "aliases": aliases,
    }


def membership(artifact: Artifact) -> dict[str, Any]:
    """An artifact as a member of its collection."""
    node = artifact_node(artifact)
    return {
        "__typename": "ArtifactCollectionMembership",
        "id": f"member-{artifact.artifact_id}",
        "versionIndex": artifact.version,
        "createdAt": artifact.created,
        "aliases": node["aliases"],
        "artifactCollection": collection_node(artifact),
        "artifact": node,
    }
