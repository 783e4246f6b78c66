// Keeps the work of a page whose session ends: what meets the end waits until the user is signed in again, and goes on.
//
// What is sent is this without comments and line ends, of 2 KiB at most, which is why names are short. B is the path of our own pages,
// D what the page says in attributes, F the browser's fetch, U the user, W what all wait for, N whether the user does not want to sign
// in for now.
(()=>{
let d=document,S=d.currentScript,B=new URL('.',S.src),D=S.dataset,F=fetch.bind(self),T=EventSource,U,W,N,
A='addEventListener',P='dispatchEvent',Q='setRequestHeader',H='evergate-response',R=['readystatechange','load','loadend'],
// Who is signed in; false is nobody. A network that fails says nothing about the session.
who=()=>F(B+'userinfo').then(async r=>r.ok?(await r.json()).user:r.status!=401&&U,()=>U),
// Whether a response with this mark is to a request that did not reach the app.
E=m=>m=='sign_in_required',
// Listens before all others, to what the browser says alone, and keeps it from them where q holds.
on=(x,T,f,q)=>T.map(t=>x[A](t,e=>{if(e.isTrusted&&(!q||q())){e.stopImmediatePropagation();f(t,e)}})),
// Waits for the session, once for all who wait. Nothing: the user does not want to sign in now.
back=()=>W||=wait().finally(()=>W=0),
wait=async()=>{
let u=await who();
if(!u&&!N){
let x=d.createElement('dialog'),b=d.createElement('button'),w;
x.append(x.ariaLabel=D.text||'Your session has ended. ',b);
b.textContent=D.button||'Sign in';
b.onclick=()=>w=open(B+'start?rd='+B.pathname+'signed_in');
x.oncancel=()=>N=setTimeout(()=>N=0,6e4);
d.body.append(x);
x.showModal();
while(!u&&!N){await new Promise(y=>setTimeout(y,1500));u=await who()}
x.remove();
w?.close()
}
// The work of one user is not sent as another's.
return u&&(U&&u!=U?new Promise(()=>location.reload()):U=u)
};
who().then(u=>U=u);
fetch=async(a,o)=>{
let c=a.clone?.()||a,r=await F(a,o);
return E(r.headers.get(H))&&await back()?F(c,o):r
};
XMLHttpRequest=class extends XMLHttpRequest{
constructor(){
super();
on(this,R,async t=>{
if(t==R[2])if(await back()){
super.open(...this.o);
this.h.map(h=>super[Q](...h));
super.send(this.b)
}else R.map(t=>this[P](new ProgressEvent(t)))
},()=>this.o[2]!==!1&&E(this.getResponseHeader(H)))
}
open(...o){this.h=[];super.open(...this.o=o)}
[Q](...h){this.h.push(h);super[Q](...h)}
send(b){super.send(this.b=b)}
};
// A browser does not connect an event stream again that was refused. Another one speaks for it then.
EventSource=class extends T{
constructor(...a){
super(...a);
this.t=new Set(['open','message']);
let hear=s=>on(s,['error'],async t=>{
if(s.readyState>1&&!await who()&&await back()){
hear(s=this.s=new T(...a));
this.t.forEach(t=>s[A](t,e=>this[P](new MessageEvent(t,e))))
}else this[P](new Event(t))
});
hear(this)
}
[A](t,...r){this.t?.add(t);super[A](t,...r)}
close(){super.close();this.s?.close()}
};
// What was said on a WebSocket cannot be said again by whoever does not know it. The page hears of its end when it can open
// another one.
WebSocket=class extends WebSocket{
constructor(...a){
super(...a);
on(this,['error','close'],async(t,e)=>{
await back();
this[P](new e.constructor(t,e))
})
}
}
})()
