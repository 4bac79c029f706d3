"""The causes that the live test of `aoii setup` finds, in Korean: what is wrong, and what to do.

In English a finding has its own words, which are those of `aoii doctor`.
"""

KOREAN = {
    "disk": ("폴더에 쓸 수 없습니다: {about}", "이 사용자에게 폴더 권한을 주거나 AOII_DATA_DIR을 바꾸세요"),
    "files": ("파일을 쓸 수 없습니다: {about}", "파일의 경로, 내용, 권한을 확인하세요"),
    "port_missing": ("{about} 포트가 없습니다", "장치를 꽂거나 포트 이름을 고치세요"),
    "port_not_serial": ("{about}은(는) 시리얼 포트가 아닙니다", "포트 이름을 고치세요"),
    "port_rights": (
        "이 사용자는 {about} 포트를 열 수 없습니다",
        "사용자를 dialout 그룹에 넣고 다시 로그인하세요: sudo usermod -aG dialout $USER",
    ),
    "port_busy": ("다른 프로그램이 포트를 쓰고 있습니다: {about}", "그 프로그램을 끝내세요"),
    "broker_host_unknown": ("{about}: 그런 호스트가 없습니다", "브로커의 호스트 이름을 고치거나 DNS를 확인하세요"),
    "broker_refused": (
        "{about}: 듣고 있는 프로그램이 없습니다",
        "브로커를 시작하거나, 다른 컴퓨터의 연결도 받게 하거나(Mosquitto의 `listener`), 호스트와 포트를 고치세요",
    ),
    "broker_local_only": (
        "{about}: 브로커가 127.0.0.1에서만, 곧 그 컴퓨터 안의 연결만 받습니다",
        "Mosquitto의 `listener`로 이 주소에서도 받게 하거나, 여기에 127.0.0.1을 쓰세요",
    ),
    "broker_no_answer": ("{about}: 응답이 없습니다", "컴퓨터가 켜져 있는지, 방화벽이 포트를 막지 않는지 확인하세요"),
    "broker_network": ("연결할 수 없습니다: {about}", "네트워크와 주소를 확인하세요"),
    "broker_silent": (
        "브로커가 연결을 받았지만 올바로 응답하지 않습니다: {about}",
        "브로커의 포트가 맞는지, 그 포트가 TLS를 쓰는지 확인하세요",
    ),
    "broker_tls": ("TLS 연결에 실패했습니다: {about}", "인증 기관(CA) 파일, 인증서, 포트를 확인하세요"),
    "broker_login": (
        "브로커가 사용자 이름이나 비밀번호를 거부했습니다: {about}",
        "사용자 이름과 비밀번호를 고치거나, 브로커에 그 사용자를 만드세요",
    ),
    "broker_subscription": (
        "브로커가 구독을 허용하지 않았습니다: {about}",
        "브로커의 ACL과 max_qos를 확인하세요",
    ),
    "broker_acl_write": (
        "브로커의 ACL이 발행을 허용하지 않습니다 (토픽, 사용자): {about}",
        "ACL에서 이 사용자에게 이 토픽의 write를 허용하고 브로커를 다시 시작하세요",
    ),
    "broker_acl_read": (
        "서버가 발행한 메시지가 게이트웨이에 도착하지 않습니다 (토픽, 사용자): {about}",
        "ACL에서 게이트웨이의 사용자에게 이 토픽의 read를, 서버의 사용자에게 write를 허용하세요",
    ),
    "database_host_unknown": (
        "{about}: 그런 호스트가 없습니다",
        "데이터베이스의 호스트 이름을 고치거나 DNS를 확인하세요",
    ),
    "database_refused": (
        "{about}: 듣고 있는 프로그램이 없습니다",
        "데이터베이스를 시작하거나, 다른 컴퓨터에도 열거나(MariaDB의 `bind-address`), 호스트와 포트를 고치세요",
    ),
    "database_local_only": (
        "{about}: 데이터베이스가 127.0.0.1에서만, 곧 그 컴퓨터 안의 연결만 받습니다",
        "MariaDB의 `bind-address`로 이 주소에서도 받게 하거나, 여기에 127.0.0.1을 쓰세요",
    ),
    "database_no_answer": ("{about}: 응답이 없습니다", "컴퓨터가 켜져 있는지, 방화벽이 포트를 막지 않는지 확인하세요"),
    "database_network": ("연결할 수 없습니다: {about}", "네트워크와 주소를 확인하세요"),
    "database_tls": ("TLS 연결에 실패했습니다: {about}", "인증 기관(CA) 파일과 데이터베이스의 인증서를 확인하세요"),
    "database_login": (
        "데이터베이스가 사용자 이름이나 비밀번호를 거부했습니다: {about}",
        "사용자 이름과 비밀번호를 고치거나, 데이터베이스에 그 사용자를 만드세요",
    ),
    "database_missing": (
        "그런 이름의 데이터베이스가 없습니다: {about}",
        "데이터베이스를 만드세요: CREATE DATABASE 이름",
    ),
    "database_rights": (
        "사용자에게 권한이 없거나, 그런 이름의 데이터베이스가 없습니다: {about}",
        "데이터베이스의 권한을 주세요(grants.sql). 테이블은 권한이 있는 사용자로 `aoii migrate`를 실행해 만듭니다",
    ),
    "database_slow": ("데이터베이스의 응답이 느립니다: {about}", "데이터베이스나 네트워크가 왜 바쁜지 확인하세요"),
    "certificate": ("인증서가 곧 만료되거나 이미 만료되었습니다: {about}", "인증서를 갱신하세요: aoii certs"),
    "database_other": ("데이터베이스 오류: {about}", "데이터베이스의 로그를 확인하세요"),
}
