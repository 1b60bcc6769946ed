"""What link files say is with the record they are about once it is published, and leaves with the line that said it."""

from pathlib import Path

from tests.e2e.office import Office

# A school with one class, one student and one quiz: file -> its lines, the header first.
PACKAGE = {
    "orgs": "sourcedId,name,type,identifier\nsch-1,Fennel School,school,1",
    "academicSessions": (
        "sourcedId,title,type,startDate,endDate,schoolYear\n"
        "yr-1,2026-27,schoolYear,2026-08-17,2027-06-04,2027\nq-1,Q1,gradingPeriod,2026-08-17,2026-10-16,2027"
    ),
    "courses": "sourcedId,title,courseCode,orgSourcedId\ncrs-1,Reading,R5,sch-1",
    "classes": (
        "sourcedId,title,courseSourcedId,classType,schoolSourcedId,termSourcedIds\ncls-1,5a,crs-1,scheduled,sch-1,yr-1"
    ),
    "users": "sourcedId,enabledUser,givenName,familyName\nstu-1,true,Maud,Pettifer",
    "roles": "sourcedId,userSourcedId,roleType,role,orgSourcedId\nrol-1,stu-1,primary,student,sch-1",
    "enrollments": "sourcedId,classSourcedId,schoolSourcedId,userSourcedId,role\nenr-1,cls-1,sch-1,stu-1,student",
    "resources": "sourcedId,vendorResourceId,title\nres-1,v-1,Fables\nres-2,v-2,Rhymes",
    "courseResources": "sourcedId,courseSourcedId,resourceSourcedId\ncr-1,crs-1,res-1",
    "classResources": "sourcedId,classSourcedId,resourceSourcedId\nclr-1,cls-1,res-1\nclr-2,cls-1,res-2",
    "userResources": "sourcedId,userSourcedId,resourceSourcedId\nur-1,stu-1,res-2",
    "categories": "sourcedId,title\ncat-1,Quizzes",
    "scoreScales": (
        "sourcedId,title,type,orgSourcedId,courseSourcedId,classSourcedId,scoreScaleValue\n"
        'sc-1,Stars,stars,sch-1,crs-1,cls-1,"{1:One star},{2:Two stars}"'
    ),
    "lineItems": (
        "sourcedId,title,classSourcedId,categorySourcedId,gradingPeriodSourcedId,academicSessionSourcedId\n"
        "li-1,Quiz,cls-1,cat-1,q-1,yr-1"
    ),
    "lineItemScoreScales": "sourcedId,lineItemSourcedId,scoreScaleSourcedId\nls-1,li-1,sc-1",
    "lineItemLearningObjectiveIds": (
        "sourcedId,lineItemSourcedId,source,learningObjectiveId\nlo-1,li-1,case,o-1\nlo-2,li-1,case,o-2"
    ),
    "results": "sourcedId,lineItemSourcedId,studentSourcedId,scoreStatus,score\nrs-1,li-1,stu-1,fully graded,2",
    "resultScoreScales": "sourcedId,resultSourcedId,scoreScaleSourcedId\nrc-1,rs-1,sc-1",
    "resultLearningObjectiveIds": (
        "sourcedId,resultSourcedId,source,learningObjectiveId,score\nro-1,rs-1,case,o-1,1\nro-2,rs-1,case,o-2,2"
    ),
}


def write(folder: Path, **changed: str) -> Path:
    folder.mkdir(exist_ok=True)
    files = PACKAGE | changed
    for name, lines in files.items():
        (folder / f"{name}.csv").write_text(f"{lines}\n", encoding="utf-8")
    listed = "\n".join(f"file.{name},bulk" for name in files)
    manifest = f"propertyName,value\nmanifest.version,1.0\noneroster.version,1.2\n{listed}\nsource.systemName,SIS\n"
    (folder / "manifest.csv").write_text(manifest, encoding="utf-8")
    return folder


def test_link_files_add_to_the_records_they_are_about(office: Office, tmp_path: Path) -> None:
    office.connect_files(write(tmp_path / "package"))
    assert office.pull("oneroster")["state"] == "published"
    assert office.waiting() == {}
    found = office.published("oneroster")
    assert found["resource"].keys() == {"res-1", "res-2"}
    assert found["course"]["crs-1"]["resources"] == ["res-1"]
    assert sorted(found["class"]["cls-1"]["resources"]) == ["res-1", "res-2"]
    assert found["person"]["stu-1"]["resources"] == ["res-2"]
    assert found["score_scale"]["sc-1"] == {
        "title": "Stars", "type": "stars", "organization": "sch-1", "course": "crs-1", "class": "cls-1",
        "values": [{"value": "1", "stands_for": "One star"}, {"value": "2", "stands_for": "Two stars"}],
    }  # fmt: skip
    item, result = found["line_item"]["li-1"], found["result"]["rs-1"]
    assert (item["grading_period"], item["session"]) == ("q-1", "yr-1")
    assert (item["score_scale"], result["score_scale"]) == ("sc-1", "sc-1")
    assert sorted(one["id"] for one in item["learning_objectives"]) == ["o-1", "o-2"]
    assert sorted((one["id"], one["score"]) for one in result["learning_objectives"]) == [("o-1", "1"), ("o-2", "2")]


def test_a_line_of_a_link_file_that_goes_takes_its_word_with_it(office: Office, tmp_path: Path) -> None:
    office.connect_files(write(tmp_path / "package"))
    office.pull("oneroster")
    write(
        tmp_path / "package",
        classResources="sourcedId,classSourcedId,resourceSourcedId\nclr-2,cls-1,res-2\nclr-3,cls-1,res-9",
        lineItemLearningObjectiveIds="sourcedId,lineItemSourcedId,source,learningObjectiveId\nlo-2,li-1,case,o-2",
    )
    assert office.pull("oneroster")["state"] == "published"
    found = office.published("oneroster")
    assert found["class"]["cls-1"]["resources"] == ["res-2"]
    assert [one["id"] for one in found["line_item"]["li-1"]["learning_objectives"]] == ["o-2"]
    # What is not there is listed, and keeps nothing else of the class back.
    assert office.waiting() == {("oneroster", "class", "unresolved-reference"): 1}
